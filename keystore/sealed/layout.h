// SPDX-License-Identifier: Apache-2.0
//
// What the files of a sealed folder are called, and what stands in their headers, in the clear.
// Nothing here is authenticated: that is the box's.
// Source: docs/sealed-folder.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "keystore/sealed/box.h"
#include "keystore/sealed/index.h"

namespace vhsm::keystore::sealed {

inline constexpr const char* kHeadName = "head";
inline constexpr const char* kNewHeadName = "head.new";
inline constexpr std::size_t kMaxHeadBytes = 4096;
inline constexpr std::size_t kMaxRootBytes = std::size_t{64} << 10;

/// What a head says: which files are the current ones.
struct Head {
  std::uint64_t generation = 0;   ///< of the folder, one more with each change; and of the index
  std::uint64_t root_number = 0;  ///< the generation that changed the slots last
  Digest root{};
  Digest index{};
};

std::string index_name(const Head& head);
std::string root_name(const Head& head);
Bytes to_bytes(const Head& head);
/// @errors kTampered.
Result<Head> parse_head(const Box& box);

/// The header of a key's file. Whose it is says the index, which has the file's digest.
struct KeyFile {
  std::uint64_t generation = 0;  ///< that it came with
  std::uint32_t version = 0;
};

Bytes to_bytes(const KeyFile& file);
/// @errors kTampered.
Result<KeyFile> parse_key_file(const Box& box);

/// The name of a key's file: names of keys are longer than those of files may be.  @errors kCrypto.
Result<std::string> file_of(std::string_view name, std::uint32_t version);
bool is_key_file(std::string_view file) noexcept;
/// What a change that was not finished may have left: nothing else is ever removed.
bool is_ours(std::string_view file) noexcept;

}  // namespace vhsm::keystore::sealed
