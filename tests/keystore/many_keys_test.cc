// SPDX-License-Identifier: Apache-2.0
//
// 100 000 keys in the memory that an ordinary user may lock. A program of its own, so that
// protected memory is made after the privileges are gone.
#include <grp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/params.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "base/handle.h"
#include "keystore/hot_set.h"
#include "keystore/key.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kKeys = 100'000;
constexpr std::size_t kUses = 2'000;  // by each thread
constexpr rlim_t kLimitBytes = rlim_t{8} << 20;
constexpr std::array<std::uint8_t, 32> kDigest{1, 2, 3};

/// What the host imports: a scalar and its point.
class Pair {
 public:
  explicit Pair(const EC_GROUP* group) {
    const ossl::Bignum scalar(BN_new());
    BN_priv_rand_range(scalar.get(), EC_GROUP_get0_order(group));
    BN_bn2lebinpad(scalar.get(), scalar_.data(), static_cast<int>(scalar_.size()));
    const ossl::EcPoint point(EC_POINT_new(group));
    EC_POINT_mul(group, point.get(), scalar.get(), nullptr, nullptr, nullptr);
    EC_POINT_point2oct(group, point.get(), POINT_CONVERSION_UNCOMPRESSED, point_.data(),
                       point_.size(), nullptr);
  }
  [[nodiscard]] Result<KeyPtr> import() {
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("group", name_.data(), 0),
        OSSL_PARAM_construct_BN("priv", scalar_.data(), scalar_.size()),
        OSSL_PARAM_construct_octet_string("pub", point_.data(), point_.size()),
        OSSL_PARAM_construct_end()};
    return import_pair(kEc, params);
  }

 private:
  std::array<char, 8> name_{"P-256"};
  std::array<std::uint8_t, 32> scalar_{};
  std::array<std::uint8_t, 65> point_{};
};

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "failed: %s\n", what);
  ::_exit(1);
}

template <class Work>
void on_all_processors(const Work& work) {
  const unsigned count = std::max(2U, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) threads.emplace_back(work, i, count);
  for (auto& thread : threads) thread.join();
}

void import_all(std::vector<KeyPtr>& keys) {
  on_all_processors([&](std::size_t first, std::size_t step) {
    const std::unique_ptr<EC_GROUP, ossl::Deleter<EC_GROUP_free>> group(
        EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
    for (std::size_t i = first; i < keys.size(); i += step) {
      auto key = Pair(group.get()).import();
      require(key.ok(), key.ok() ? "" : describe(key.error()).c_str());
      keys[i] = std::move(key).value();
    }
  });
}

void use_one(const Key& key) {
  std::array<std::uint8_t, 128> signature{};
  const auto signer = key.begin({OperationKind::kSign, "SHA256"});
  require(signer.ok(), signer.ok() ? "" : describe(signer.error()).c_str());
  const auto size = signer.value()->run(kDigest, signature);
  require(size.ok(), size.ok() ? "" : describe(size.error()).c_str());
  const auto verifier = key.begin({OperationKind::kVerify, "SHA256"});
  const auto good = std::span(signature).first(size.value());
  require(verifier.ok() && verifier.value()->verify(kDigest, good).value(), "a signature");
}

void use_some(const std::vector<KeyPtr>& keys) {
  on_all_processors([&](std::size_t seed, std::size_t /*step*/) {
    std::minstd_rand random(static_cast<unsigned>(seed + 1));
    for (std::size_t i = 0; i < kUses; ++i) use_one(*keys[random() % keys.size()]);
  });
}

std::size_t resident_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss);
}

void become_an_ordinary_user() {
  const rlimit limit{kLimitBytes, kLimitBytes};
  require(::setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "the limit");
  if (::geteuid() != 0) return;
  require(::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0, "nobody");
}

void shield_all() {
  require(memory::run_protected([]() -> Status {
            hot_set().evict(kKeys);
            return {};
          }).ok(),
          "to shield all");
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void serve_from_little() {
  require(memory::initialise({.limit_bytes = std::size_t{2} << 20}).ok() && warm_up().ok(),
          "memory");
  std::vector<KeyPtr> keys(500);
  import_all(keys);
  use_some(keys);
  require(hot_set().counters().hot > 10, "a hot set");
}

void hold_and_use() {
  become_an_ordinary_user();
  require(memory::initialise({}).ok() && warm_up().ok(), "protected memory");
  std::vector<KeyPtr> keys(1);
  import_all(keys);
  use_some(keys);
  shield_all();
  const std::size_t before = memory::in_use_bytes();
  const std::size_t resident = resident_kib();
  const auto start = std::chrono::steady_clock::now();
  keys.resize(kKeys);
  import_all(keys);
  const double imported = seconds_since(start);
  use_some(keys);
  const auto counters = hot_set().counters();
  require(counters.hot + counters.shielded == kKeys && counters.hot > 100, "the counters");
  require(memory::in_use_bytes() < memory::capacity_bytes() / 4 * 3, "room for operations");
  std::printf("%zu keys imported in %.1f s, %llu hot, %zu bytes of ordinary memory for each\n",
              kKeys, imported, static_cast<unsigned long long>(counters.hot),
              (resident_kib() - resident) * 1024 / kKeys);
  shield_all();
  require(memory::in_use_bytes() <= before + 4096, "nothing of a shielded key stays");
  use_some(keys);
  std::fflush(stdout);
}

void expect_of_a_child(void (*work)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ManyKeysTest, AHundredThousandKeysAreOpenUnderTheMemoryLimitOfAnOrdinaryUser) {
  expect_of_a_child(hold_and_use);
}

TEST(ManyKeysTest, TwoMebibytesServeHundredsInTurn) { expect_of_a_child(serve_from_little); }

}  // namespace
}  // namespace vhsm::keystore
