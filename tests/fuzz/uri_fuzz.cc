// SPDX-License-Identifier: Apache-2.0
//
// vhsm: URIs: what is accepted has three valid segments, or is a folder of up to two, and survives
// being written again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "keystore/key_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using vhsm::keystore::KeyFolder;
  using vhsm::keystore::KeyUri;
  // The parsers take text; libFuzzer gives bytes.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto folder = KeyFolder::parse(text);
  if (folder.ok() && !KeyFolder::parse(folder.value().uri()).ok()) std::abort();
  const auto uri = KeyUri::parse(text, "default/key", true);
  if (!uri.ok()) return 0;
  const auto again = KeyUri::parse(uri.value().name.uri(), {});
  if (!again.ok() || again.value().name != uri.value().name) std::abort();
  if (uri.value().name.path().find("..") == 0) std::abort();
  return 0;
}
