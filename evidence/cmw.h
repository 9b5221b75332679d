// SPDX-License-Identifier: Apache-2.0
//
// Conceptual message wrappers: a collection of records, each with a label and a media type, as CBOR
// and as JSON. Of what the standard has, what evidence of keys needs: no nesting, no tags.
// Source: RFC 9999 (RATS Conceptual Message Wrapper), sections 3.1 (records) and 3.3 (collections).
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/cbor.h"
#include "base/result.h"

namespace vhsm::evidence {

using Bytes = std::vector<std::uint8_t>;

/// What kind of message a record is: bits of its indicator.
namespace indicator {
inline constexpr std::uint32_t kEndorsements = 2;
inline constexpr std::uint32_t kEvidence = 4;
}  // namespace indicator

struct Record {
  std::string label;  ///< within the collection; each once
  std::string type;   ///< media type, with parameters
  Bytes value;
  std::uint32_t indicator = 0;  ///< 0: it has none

  friend bool operator==(const Record&, const Record&) = default;
};

struct Collection {
  std::string type;  ///< URI that says how it is made up
  std::vector<Record> records;

  /// Null: there is none.
  [[nodiscard]] const Record* find(std::string_view label) const noexcept;
  friend bool operator==(const Collection&, const Collection&) = default;
};

inline constexpr std::size_t kMaxRecords = 16;

[[nodiscard]] Bytes to_cbor(const Collection& collection);
[[nodiscard]] nlohmann::ordered_json to_json(const Collection& collection);

/// @errors kBadFormat for anything else than a collection with a type and 1 to kMaxRecords records.
[[nodiscard]] Result<Collection> collection_from_cbor(ByteView bytes);
[[nodiscard]] Result<Collection> collection_from_json(std::string_view text);

}  // namespace vhsm::evidence
