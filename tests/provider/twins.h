// SPDX-License-Identifier: Apache-2.0
//
// Conformance by comparison: the same program runs with a key that vhsm holds and with the same key
// in the clear in the default provider, and must see the same things.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/kinds.h"
#include "tests/provider/configured.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {

/// What a program saw, a line for each call.
class Transcript {
 public:
  /// Notes a return code and whether there is an error in the queue, which it empties.
  /// @return whether `rc` is 1.
  bool call(std::string_view what, int rc);
  void value(std::string_view what, std::string_view value);
  void bytes(std::string_view what, const Bytes& value);
  [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }

  /// Prefixes the lines from now on, until it goes.
  class Section {
   public:
    Section(Transcript& transcript, const std::string& name);
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;
    ~Section();

   private:
    Transcript& transcript_;
    std::size_t before_;
  };

 private:
  std::vector<std::string> lines_;
  std::string prefix_;
};

/// One of the two programs.
struct Side {
  OSSL_LIB_CTX* ctx;
  EVP_PKEY* key;
  EVP_PKEY* judge;  ///< the public half in the default provider
};

using Script = std::function<void(const Side&, Transcript&)>;

/// A library context with vhsm and one with the default provider alone, and a key of one type in
/// both.
class TwinTest : public ::testing::TestWithParam<tests::Kind> {
 protected:
  void SetUp() override;
  /// Runs `script` on both sides and compares, but for what docs/differences.md allows.
  void compare(const Script& script) const;
  [[nodiscard]] static const tests::Kind& kind() { return GetParam(); }
  [[nodiscard]] static bool is_rsa() { return kind().type->family == keystore::Family::kRsa; }
  /// Another key of this kind, in the default provider.
  [[nodiscard]] ossl::PKey stranger() const {
    return plain_.generate(kind().type->name, kind().detail, kDefault);
  }
  [[nodiscard]] EVP_PKEY* theirs() const noexcept { return theirs_.get(); }
  [[nodiscard]] EVP_PKEY* judge() const noexcept { return judge_.get(); }
  [[nodiscard]] const Host& plain() const noexcept { return plain_; }

 private:
  const Configured configured_{"pkcs1_v15_decrypt = yes\n"};
  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
  const Host plain_{nullptr};
  ossl::PKey ours_;
  ossl::PKey theirs_;
  ossl::PKey judge_;
};

/// The names of all digests that this OpenSSL has; then none (empty) and one that it has not.
std::vector<std::string> all_digests();

/// The names of a descriptor list, sorted.
std::vector<std::string> names_of(const OSSL_PARAM* descriptors);

/// For INSTANTIATE_TEST_SUITE_P.
std::string twin_name(const ::testing::TestParamInfo<tests::Kind>& info);

}  // namespace vhsm::test
