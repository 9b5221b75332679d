// SPDX-License-Identifier: Apache-2.0
//
// `fips = yes`: keys work in the private OpenSSL's FIPS provider, and what that does not have is
// refused. The choice is the process's, so these tests are a program of their own.
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/base/temp_dir.h"
#include "tests/kinds.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

/// The configuration that the build has made of this machine's FIPS provider; empty: there is none.
std::string module_config() {
  return ::access(VHSM_FIPS_CONFIG, R_OK) == 0 ? VHSM_FIPS_CONFIG : "";
}

bool configure(const TempDir& folder, const std::string& line) {
  const std::string file = folder.write("vhsm.cnf", "[vhsm]\n" + line + "\n");
  return ::setenv("VHSM_CONF", file.c_str(), 1) == 0;
}

/// Why vhsm does not load with this line in its configuration; empty: it does.
std::string refusal(const std::string& line) {
  const TempDir folder;
  configure(folder, line);
  const ossl::LibCtx ctx(OSSL_LIB_CTX_new());
  OSSL_PROVIDER_set_default_search_path(ctx.get(), VHSM_MODULE_DIR);
  const LoadedProvider vhsm(OSSL_PROVIDER_load(ctx.get(), "vhsm_files"));
  return vhsm == nullptr ? take_errors() : "";
}

TEST(FipsStartTest, NamesWhatIsMissing) {
  const std::string why = refusal("fips = /nowhere/fipsmodule.cnf");
  if (OPENSSL_VERSION_NUMBER < 0x30500000L) {
    EXPECT_THAT(why, HasSubstr("built with OpenSSL 3.5 or newer"));
  } else {
    EXPECT_THAT(why, HasSubstr("/nowhere/fipsmodule.cnf"));
    EXPECT_THAT(why, HasSubstr("openssl fipsinstall"));
  }
}

TEST(FipsStartTest, AModuleThatFailsItsIntegrityTestIsRefused) {
  if (module_config().empty()) GTEST_SKIP() << "no FIPS provider of OpenSSL 3.5 or newer here";
  const TempDir folder;
  std::ofstream(folder.file("wrong.cnf"))
      << "[fips_sect]\nmodule-mac = 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:"
         "55:66:77:88:99:AA:BB:CC:DD:EE:FF\n";
  EXPECT_THAT(refusal("fips = " + folder.file("wrong.cnf")),
              HasSubstr("the FIPS provider does not start"));
}

TEST(FipsStartTest, AProcessThatHasBegunWithoutItDoesNotChange) {
  EXPECT_EQ(refusal("fips = no"), "");
  EXPECT_THAT(refusal("fips = yes"), HasSubstr("begun with another value"));
}

class FipsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (module_config().empty()) GTEST_SKIP() << "no FIPS provider of OpenSSL 3.5 or newer here";
    ASSERT_TRUE(configure(settings_, "fips = " + module_config()));
    folder_.emplace();  // whose vhsmd, if it is through one, takes the setting too
    host_.emplace("vhsm_files");
  }

  [[nodiscard]] const Host& host() const { return *host_; }
  [[nodiscard]] ossl::PKey open(const std::string& kind) const {
    return host().open(folder_->uri(kind));
  }
  /// Whether the default provider accepts what the held key signs.
  [[nodiscard]] bool signs(const std::string& kind, const Scheme& scheme) const {
    const auto key = open(kind);
    if (key == nullptr) return false;
    const auto theirs = folder_->in_default(host(), kind);
    return verify(host(), theirs.get(), scheme, kMessage,
                  sign(host(), key.get(), scheme, kMessage));
  }
  [[nodiscard]] std::string build_info() const {
    const char* text = nullptr;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, const_cast<char**>(&text), 0),
        OSSL_PARAM_construct_end()};
    EXPECT_EQ(OSSL_PROVIDER_get_params(host().vhsm(), params), 1);
    return text == nullptr ? "" : text;
  }

  TempDir settings_;
  std::optional<KeyFolder> folder_;
  std::optional<Host> host_;
};

TEST_F(FipsTest, TheBuildInfoSaysThatItIsOn) {
  EXPECT_THAT(build_info(), HasSubstr("FIPS Provider"));
}

TEST_F(FipsTest, KeysSignWhatOthersVerify) {
  EXPECT_TRUE(signs("RSA", {"SHA256", "pkcs1"})) << take_errors();
  EXPECT_TRUE(signs("RSA", {"SHA384", "pss", "digest"})) << take_errors();
  EXPECT_TRUE(signs("RSA-PSS", {"SHA256"})) << take_errors();
  for (const char* curve : {"P-256", "P-384", "P-521"}) {
    EXPECT_TRUE(signs(curve, {"SHA256"})) << curve << take_errors();
  }
  EXPECT_TRUE(signs("ED25519", {})) << take_errors();
  EXPECT_TRUE(signs("ED448", {})) << take_errors();
}

TEST_F(FipsTest, TheCommandOpensslSigns) {
  const std::string message = settings_.write("message", "to whom it may concern");
  const std::string run =
      "openssl pkeyutl -provider-path " VHSM_MODULE_DIR " -provider vhsm_files -provider default ";
  const std::string sign = run + "-sign -rawin -digest sha256 -inkey " + folder_->uri("P-256") +
                           " -in " + message + " -out " + settings_.file("signature");
  ASSERT_EQ(std::system(sign.c_str()), 0);
  const std::string verify = run + "-verify -rawin -digest sha256 -inkey " + folder_->path() +
                             "/default/test/P-256 -in " + message + " -sigfile " +
                             settings_.file("signature") + " >/dev/null";
  EXPECT_EQ(std::system(verify.c_str()), 0);
}

TEST_F(FipsTest, KeysVerifyWhatOthersSign) {
  for (const char* kind : {"RSA", "P-256"}) {
    const auto theirs = folder_->in_default(host(), kind);
    const Bytes signature = sign(host(), theirs.get(), {"SHA256"}, kMessage);
    const auto ours = open(kind);
    EXPECT_TRUE(verify(host(), ours.get(), {"SHA256"}, kMessage, signature)) << kind;
    EXPECT_FALSE(verify(host(), ours.get(), {"SHA256"}, {'x'}, signature)) << kind;
  }
}

TEST_F(FipsTest, KeysDeriveAndDecrypt) {
  const auto key = open("P-256");
  const auto stranger = host().generate("EC", "P-256", kDefault);
  const auto peer = host().public_in_default(stranger.get());
  const Bytes secret = derive(host(), key.get(), peer.get());
  EXPECT_FALSE(secret.empty()) << take_errors();
  EXPECT_EQ(secret, derive(host(), folder_->in_default(host(), "P-256").get(), peer.get()));

  const auto rsa = open("RSA");
  const auto pass = [&](auto init, auto step, const Bytes& in) {
    const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(host().ctx(), rsa.get(), nullptr));
    Bytes out(512);
    std::size_t size = out.size();
    const bool good = init(ctx.get()) == 1 &&
                      EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
                      step(ctx.get(), out.data(), &size, in.data(), in.size()) == 1;
    out.resize(good ? size : 0);
    return out;
  };
  const Bytes wrapped = pass(EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, kMessage);
  EXPECT_NE(wrapped, pass(EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, kMessage));
  EXPECT_EQ(pass(EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, wrapped), kMessage) << take_errors();
}

TEST_F(FipsTest, KeysAreMade) {
  for (const char* type : {"RSA", "EC", "ED25519"}) {
    const auto key = host().generate(type);
    ASSERT_NE(key, nullptr) << type << take_errors();
    const char* const digest = std::string(type) == "ED25519" ? nullptr : "SHA256";
    EXPECT_FALSE(sign(host(), key.get(), {digest}, kMessage).empty()) << type << take_errors();
  }
}

TEST_F(FipsTest, WhatTheFipsProviderLacksIsRefusedForThatReason) {
  EXPECT_EQ(host().generate("X25519"), nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("the FIPS provider (fips = yes) has no such keys"));
  EXPECT_EQ(open("X25519"), nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("FIPS"));
  EXPECT_EQ(open("brainpoolP256r1"), nullptr);
  EXPECT_THAT(take_errors(), HasSubstr("FIPS"));
  const auto key = open("RSA");
  EXPECT_TRUE(sign(host(), key.get(), {"MD5"}, kMessage).empty());
  EXPECT_THAT(take_errors(), HasSubstr("the FIPS provider (fips = yes) has no such digest"));
}

TEST_F(FipsTest, AHostThatUsesTheSameFipsProviderItselfIsNotInTheWay) {
  const std::string config = settings_.write(
      "openssl.cnf", "config_diagnostics = 1\nopenssl_conf = start\n.include " + module_config() +
                         "\n[start]\nproviders = all\nalg_section = properties\n[all]\nfips = "
                         "fips_sect\nbase = base\n[base]\nactivate = 1\n[properties]\n"
                         "default_properties = fips=yes\n");
  const ossl::LibCtx ctx(OSSL_LIB_CTX_new());
  ASSERT_EQ(OSSL_LIB_CTX_load_config(ctx.get(), config.c_str()), 1) << take_errors();
  const ossl::PKey theirs(EVP_PKEY_Q_keygen(ctx.get(), nullptr, "EC", "P-256"));
  ASSERT_NE(theirs, nullptr) << take_errors();
  EXPECT_TRUE(signs("P-256", {"SHA256"})) << take_errors();
  EXPECT_FALSE(sign(host(), theirs.get(), {"SHA256"}, kMessage).empty()) << take_errors();
}

TEST_F(FipsTest, ThreadsThatComeAndGoSign) {
  const auto key = open("P-256");
  const auto theirs = folder_->in_default(host(), "P-256");
  const auto before = host().counter("vhsm-memory-in-use");
  for (int round = 0; round < 20; ++round) {
    std::vector<int> good(4);
    std::vector<std::thread> threads;
    for (int& count : good) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i) {
          const Bytes signature = sign(host(), key.get(), {"SHA256"}, kMessage);
          count += verify(host(), theirs.get(), {"SHA256"}, kMessage, signature) ? 1 : 0;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    ASSERT_THAT(good, Each(10)) << take_errors();
  }
  EXPECT_LE(host().counter("vhsm-memory-in-use"), before + 64 * 1024) << "threads leave it behind";
}

/// In protected memory is what grows and shrinks with a thread that has signed: its two generators,
/// some 5 KiB with their ciphers' keys.
TEST_F(FipsTest, TheGeneratorsLieInProtectedMemory) {
  const auto key = host().generate("EC");
  const auto use = [&] { return sign(host(), key.get(), {"SHA256"}, kMessage); };
  std::thread(use).join();  // what is made once
  ASSERT_FALSE(use().empty()) << take_errors();
  const auto before = host().counter("vhsm-memory-in-use");
  std::uint64_t meanwhile = 0;
  std::thread([&] {
    if (!use().empty()) meanwhile = host().counter("vhsm-memory-in-use");
  }).join();
  EXPECT_GE(meanwhile, before + 4096);
  EXPECT_LE(host().counter("vhsm-memory-in-use"), before + 512);
}

/// What `body` returns in a child: empty, if it failed.
Bytes in_child(const std::function<pid_t()>& fork_call, const std::function<Bytes()>& body) {
  int channel[2];
  if (::pipe(channel) != 0) return {};
  const pid_t child = fork_call();
  if (child == 0) {
    const Bytes made = body();
    const auto sent = ::write(channel[1], made.data(), made.size());
    ::_exit(sent == static_cast<ssize_t>(made.size()) ? 0 : 1);
  }
  ::close(channel[1]);
  Bytes answer(4096);
  const ssize_t size = ::read(channel[0], answer.data(), answer.size());
  ::close(channel[0]);
  int status = -1;
  ::waitpid(child, &status, 0);
  answer.resize(status == 0 && size > 0 ? static_cast<std::size_t>(size) : 0);
  return answer;
}

/// PSS: its salt comes from the generators.
constexpr Scheme kSalted{"SHA256", "pss", "digest"};

TEST_F(FipsTest, AChildOfAForkDrawsNumbersOfItsOwn) {
  const auto key = open("RSA");
  const auto theirs = folder_->in_default(host(), "RSA");
  const auto make = [&] { return sign(host(), key.get(), kSalted, kMessage); };
  ASSERT_FALSE(make().empty()) << take_errors();
  std::set<Bytes> seen;
  for (int i = 0; i < 20; ++i) {
    for (const Bytes& signature : {in_child(::fork, make), make()}) {
      ASSERT_TRUE(verify(host(), theirs.get(), kSalted, kMessage, signature)) << i << take_errors();
      EXPECT_TRUE(seen.insert(signature).second) << "the same salt twice, round " << i;
    }
  }
}

/// A first process of a new pid namespace, by a fork with handlers.
pid_t fork_as_first() { return ::unshare(CLONE_NEWPID) == 0 ? ::fork() : -1; }

TEST_F(FipsTest, AChildWithTheIdOfAnAncestorIsRefusedInsteadOfRepeatingItsNumbers) {
  const auto key = open("RSA");
  const auto make = [&] { return sign(host(), key.get(), kSalted, kMessage); };
  ASSERT_FALSE(make().empty()) << take_errors();
  const Bytes outcome = in_child(::fork, [&]() -> Bytes {
    if (::unshare(CLONE_NEWPID) != 0) return {'s'};
    return in_child(::fork, [&]() -> Bytes {  // id 1
      if (make().empty()) return {'1'};
      return in_child(fork_as_first, [&]() -> Bytes {  // id 1 again
        if (!make().empty()) return {'2'};
        return take_errors().find("pid namespace") == std::string::npos ? Bytes{'3'} : Bytes{'r'};
      });
    });
  });
  if (outcome == Bytes{'s'}) GTEST_SKIP() << "this user may not make pid namespaces";
  EXPECT_EQ(outcome, Bytes{'r'}) << "a good signature is 2, another reason is 3";
}

}  // namespace
}  // namespace vhsm::test
