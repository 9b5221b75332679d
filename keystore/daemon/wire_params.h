// SPDX-License-Identifier: Apache-2.0
//
// An OSSL_PARAM array that owns its names and values, so that it can be kept and sent.
// Source: OSSL_PARAM(3); docs/vhsmd-protocol.md, "Parameters".
#pragma once

#include <openssl/core.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keystore/daemon/cbor.h"

namespace vhsm::keystore {

class WireParams {
 public:
  static constexpr std::size_t kMaxCount = 32;
  static constexpr std::size_t kMaxNameBytes = 64;
  static constexpr std::size_t kMaxValueBytes = 4096;

  /// Adds copies; pointers become what they point to.
  /// @errors kUnsupported for a type, a count or a size that is not sent (subject: the parameter).
  Status add(const OSSL_PARAM params[]);

  void write(CborWriter& writer) const;
  /// @errors kBadFormat, and those of add().
  static Result<WireParams> read(CborReader& reader);

  /// Ended by a row of nulls. Good until the next change; libcrypto only reads it.
  [[nodiscard]] std::vector<OSSL_PARAM> view() const;
  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }

 private:
  struct Item {
    std::string name;
    unsigned type;
    std::vector<std::uint8_t> value;  ///< with a null byte behind it, which does not count
  };
  Status add_one(std::string_view name, unsigned type, ByteView value);

  std::vector<Item> items_;
};

}  // namespace vhsm::keystore
