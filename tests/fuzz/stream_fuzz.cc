// SPDX-License-Identifier: Apache-2.0
//
// A file that says it is one of vhsm encrypt's. The input changes a right one: each pair of bytes
// is a place and what is added there; the first byte says where it is cut off. Nothing comes out
// but the beginning of what was encrypted, and all of it only from the file as it was.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "keystore/sealed_stream.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"

namespace {

using namespace vhsm::keystore;  // NOLINT(google-build-using-namespace): the target is this
using vhsm::Result;
using vhsm::Status;

const std::string kText = "what was encrypted";

class OneKey final : public KeySource {
 public:
  Result<vhsm::SecretBytes> fetch(const KeyName& /*name*/,
                                  std::chrono::steady_clock::time_point /*deadline*/) override {
    return vhsm::SecretBytes::zeros(kStreamKeyBytes);
  }
};

Source from(const std::string& text) {
  return [&text, at = std::size_t{0}](std::span<std::uint8_t> into) mutable -> Result<std::size_t> {
    const std::size_t size = std::min(into.size(), text.size() - at);
    std::copy_n(text.data() + at, size, into.begin());
    at += size;
    return size;
  };
}

Sink to(std::string& text) {
  return [&text](std::span<const std::uint8_t> bytes) -> Status {
    text.append(bytes.begin(), bytes.end());
    return {};
  };
}

struct World {
  World() {
    if (!vhsm::memory::initialise({.force_locked = true}).ok() || !warm_up().ok()) std::abort();
    keystore =
        make_memory_keystore(std::make_shared<OneKey>(), {}, std::make_shared<vhsm::Metrics>());
    if (!encrypt_stream(*keystore, uri, from(kText), to(sealed)).ok()) std::abort();
  }
  std::unique_ptr<HoldingKeystore> keystore;
  KeyUri uri{KeyName::parse("default/key/file").value(), {}, {}};
  std::string sealed;
};

std::string changed(std::string sealed, const std::uint8_t* data, std::size_t size) {
  for (std::size_t i = 1; i + 1 < size; i += 2) {
    char& byte = sealed[data[i] % sealed.size()];
    byte = static_cast<char>(byte + static_cast<char>(data[i + 1]));
  }
  if (size > 0) sealed.resize(sealed.size() - std::min<std::size_t>(data[0], sealed.size()));
  return sealed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  const std::string sealed = changed(world.sealed, data, size);
  std::string text;
  const Status opened = decrypt_stream(*world.keystore, world.uri, from(sealed), to(text));
  if (opened.ok() != (sealed == world.sealed)) std::abort();
  if (!kText.starts_with(text) || (opened.ok() && text != kText)) std::abort();
  // As it comes, too.
  const std::string raw(reinterpret_cast<const char*>(data), size);
  if (decrypt_stream(*world.keystore, world.uri, from(raw), to(text)).ok()) std::abort();
  return 0;
}
