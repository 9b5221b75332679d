// SPDX-License-Identifier: Apache-2.0
//
// fork() in a host that signs: the real module in a process of the system's OpenSSL.
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Signature = std::vector<unsigned char>;

constexpr unsigned char kMessage[] = "the same message every time";

Signature sign(EVP_PKEY* key) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(),
                                                                    EVP_MD_CTX_free);
  Signature signature(128);
  std::size_t size = signature.size();
  if (EVP_DigestSignInit_ex(ctx.get(), nullptr, "SHA256", nullptr, nullptr, key, nullptr) != 1 ||
      EVP_DigestSign(ctx.get(), signature.data(), &size, kMessage, sizeof kMessage) != 1) {
    size = 0;
  }
  signature.resize(size);
  return signature;
}

bool verifies(EVP_PKEY* public_key, const Signature& signature) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(),
                                                                    EVP_MD_CTX_free);
  return EVP_DigestVerifyInit_ex(ctx.get(), nullptr, "SHA256", nullptr, nullptr, public_key,
                                 nullptr) == 1 &&
         EVP_DigestVerify(ctx.get(), signature.data(), signature.size(), kMessage,
                          sizeof kMessage) == 1;
}

/// The r of an ECDSA signature: the same nonce gives the same r.
std::string nonce_point(const Signature& signature) {
  const unsigned char* next = signature.data();
  ECDSA_SIG* parsed = d2i_ECDSA_SIG(nullptr, &next, static_cast<long>(signature.size()));
  if (parsed == nullptr) return {};
  char* hex = BN_bn2hex(ECDSA_SIG_get0_r(parsed));
  std::string text(hex);
  OPENSSL_free(hex);
  ECDSA_SIG_free(parsed);
  return text;
}

class ForkSigningTest : public ::testing::Test {
 protected:
  static inline bool lacks_fips_ = true;  ///< and is to have it

  static void SetUpTestSuite() {
    // No configuration but the defaults, whatever this machine has in /etc.
    const std::string empty = ::testing::TempDir() + "/vhsm-fork-" + std::to_string(::getpid());
    const char* const fips = ::getenv("VHSM_TEST_FIPS");
    if (fips != nullptr && ::access(fips, R_OK) != 0) {
      return;
    }
    lacks_fips_ = false;
    std::ofstream(empty) << "[vhsm]\nfips = " << (fips != nullptr ? fips : "no") << "\n";
    ::setenv("VHSM_CONF", empty.c_str(), 1);
    OSSL_PROVIDER_set_default_search_path(nullptr, VHSM_LIB_DIR);
    ASSERT_NE(OSSL_PROVIDER_load(nullptr, "default"), nullptr);
    OSSL_PROVIDER* loaded = OSSL_PROVIDER_load(nullptr, "vhsm");
    std::remove(empty.c_str());
    if (loaded == nullptr) ERR_print_errors_fp(stderr);
    ASSERT_NE(loaded, nullptr);
  }

  void SetUp() override {
    if (lacks_fips_) GTEST_SKIP() << "no FIPS provider of OpenSSL 3.5 or newer here";
    key_.reset(EVP_PKEY_Q_keygen(nullptr, "provider=vhsm", "EC", "P-256"));
    ASSERT_NE(key_, nullptr);
    OSSL_PARAM* params = nullptr;
    ASSERT_EQ(EVP_PKEY_todata(key_.get(), EVP_PKEY_PUBLIC_KEY, &params), 1);
    EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_from_name(nullptr, "EC", "provider=default");
    EVP_PKEY* half = nullptr;
    ASSERT_EQ(EVP_PKEY_fromdata_init(ctx), 1);
    ASSERT_EQ(EVP_PKEY_fromdata(ctx, &half, EVP_PKEY_PUBLIC_KEY, params), 1);
    public_.reset(half);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
  }

  /// What a child made by `fork_call` signs; empty when it could not.
  template <class Fork>
  Signature signature_of_child(Fork&& fork_call) {
    int channel[2];
    if (::pipe(channel) != 0) return {};
    const pid_t child = fork_call();
    if (child == 0) {
      const Signature made = sign(key_.get());
      const bool sent =
          ::write(channel[1], made.data(), made.size()) == static_cast<ssize_t>(made.size());
      ::_exit(sent && !made.empty() ? 0 : 1);
    }
    ::close(channel[1]);
    Signature signature(128);
    const ssize_t size = ::read(channel[0], signature.data(), signature.size());
    ::close(channel[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    signature.resize(status == 0 && size > 0 ? static_cast<std::size_t>(size) : 0);
    died_ = !WIFEXITED(status);
    return signature;
  }

  Key key_{nullptr, EVP_PKEY_free};
  Key public_{nullptr, EVP_PKEY_free};
  bool died_ = false;
};

// T1
TEST_F(ForkSigningTest, AThousandForksWhileAThreadSignsGiveGoodSignaturesWithDifferentNonces) {
  std::atomic<bool> stop{false};
  std::atomic<int> bad{0};
  std::set<std::string> nonces;
  std::vector<std::string> of_thread;
  // The host's libcrypto takes a lock of its own to keep what it fetches, and does not free it in a
  // child: so everything is fetched before the first fork, as a server's start does.
  ASSERT_TRUE(verifies(public_.get(), sign(key_.get())));
  std::thread signer([&] {
    while (!stop) {
      const Signature signature = sign(key_.get());
      if (!verifies(public_.get(), signature)) ++bad;
      of_thread.push_back(nonce_point(signature));
    }
  });
  std::size_t expected = 0;
  for (int i = 0; i < 1000; ++i) {
    const Signature of_child = signature_of_child([] { return ::fork(); });
    const Signature of_parent = sign(key_.get());
    for (const Signature& signature : {of_child, of_parent}) {
      ASSERT_TRUE(verifies(public_.get(), signature)) << "round " << i;
      nonces.insert(nonce_point(signature));
      ++expected;
    }
  }
  stop = true;
  signer.join();
  EXPECT_EQ(bad, 0);
  expected += of_thread.size();
  nonces.insert(of_thread.begin(), of_thread.end());
  EXPECT_EQ(nonces.size(), expected) << "a nonce was used twice";
}

TEST_F(ForkSigningTest, ARawCloneGetsAnErrorAndHarmsNobody) {
  const Signature before = sign(key_.get());
  const Signature of_clone = signature_of_child([] {
    return static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
  });
  EXPECT_TRUE(of_clone.empty());
  EXPECT_FALSE(died_) << "an error is wanted, not a crash";
  const Signature after = sign(key_.get());
  EXPECT_TRUE(verifies(public_.get(), after));
  EXPECT_NE(nonce_point(before), nonce_point(after));
}

TEST_F(ForkSigningTest, TheErrorInARawCloneSaysWhatHappened) {
  const pid_t child =
      static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (child == 0) {
    ERR_clear_error();
    const bool refused = sign(key_.get()).empty();
    bool said = false;
    while (const unsigned long code = ERR_get_error()) {
      const char* reason = ERR_reason_error_string(code);
      said = said || (reason != nullptr && std::string(reason) == "process was cloned");
    }
    // Freeing handles in the clone must not touch the parent's memory either.
    key_.reset();
    ::_exit(refused && said ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(verifies(public_.get(), sign(key_.get())));
}

// T16
TEST_F(ForkSigningTest, AChildThatExecsOrExitsNormallyLeavesTheParentWell) {
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (i % 2 == 0) ::execlp("true", "true", nullptr);
      std::exit(0);  // runs OPENSSL_cleanup and the provider's teardown
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(verifies(public_.get(), sign(key_.get())));
  }
}

}  // namespace
