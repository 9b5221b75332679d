// SPDX-License-Identifier: Apache-2.0
//
// vhsm_files.so: the provider as it is, with a folder ($VHSM_TEST_KEYS) in the place of a KBS, so
// that tests of the OpenSSL face need no network.
#include <openssl/core.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "keystore/key_source.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"
#include "provider/entry.h"

namespace vhsm {
namespace {

class Folder final : public keystore::KeySource {
 public:
  Folder(std::string path, std::shared_ptr<Metrics> metrics)
      : path_(std::move(path)), metrics_(std::move(metrics)) {}

  Result<SecretBytes> fetch(const keystore::KeyName& name,
                            std::chrono::steady_clock::time_point /*deadline*/) override {
    metrics_->fetches.fetch_add(1);
    std::ifstream file(path_ + "/" + name.path(), std::ios::binary);
    if (!file) return fail(Errc::kMissing, "no such file", name.uri());
    std::ostringstream stored;
    stored << file.rdbuf();
    const std::string text = stored.str();
    return SecretBytes::copy(std::vector<std::uint8_t>(text.begin(), text.end()));
  }

 private:
  std::string path_;
  std::shared_ptr<Metrics> metrics_;
};

Result<provider::Assembly> assemble(std::span<const Override> overrides) {
  VHSM_TRY(memory::adopt_allocator());
  provider::Assembly parts;
  parts.settings = VHSM_TRY(load_settings(overrides));
  VHSM_TRY(memory::initialise({.limit_bytes = parts.settings.memory_limit}));
  VHSM_TRY(keystore::warm_up());
  parts.metrics = std::make_shared<Metrics>();
  const char* folder = std::getenv("VHSM_TEST_KEYS");
  parts.keystore = keystore::make_memory_keystore(
      std::make_shared<Folder>(folder != nullptr ? folder : ".", parts.metrics), {}, parts.metrics);
  parts.build_info = "test";
  return parts;
}

}  // namespace
}  // namespace vhsm

extern "C" [[gnu::visibility("default")]] int OSSL_provider_init(const OSSL_CORE_HANDLE* handle,
                                                                 const OSSL_DISPATCH* in,
                                                                 const OSSL_DISPATCH** out,
                                                                 void** provctx) {
  return vhsm::provider::start(handle, in, out, provctx, vhsm::assemble);
}
