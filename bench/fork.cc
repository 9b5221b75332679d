// SPDX-License-Identifier: Apache-2.0
//
// bench_fork [KEYS...]: what a fork costs the parent with so many RSA-2048 keys loaded, against a
// fork of the same process before protected memory was made.
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/handle.h"
#include "keystore/local_key.h"
#include "keystore/material.h"
#include "keystore/warm_up.h"
#include "memory/secret_bytes.h"

namespace {

using namespace vhsm;
using Microseconds = std::chrono::duration<double, std::micro>;
constexpr int kForks = 101;

[[noreturn]] void give_up(const Error& error) {
  std::fprintf(stderr, "bench_fork: %s\n", describe(error).c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result.ok()) give_up(result.error());
  return std::move(result).value();
}

double fork_microseconds() {
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  const Microseconds took = std::chrono::steady_clock::now() - start;
  ::waitpid(child, nullptr, 0);
  return took.count();
}

void report(const std::string& what) {
  std::vector<double> times;
  for (int i = 0; i < kForks; ++i) times.push_back(fork_microseconds());
  std::ranges::sort(times);
  std::printf("%-22s median %7.0f us   slowest of %d %7.0f us\n", what.c_str(), times[kForks / 2],
              kForks, times.back());
}

std::vector<std::uint8_t> sample() {
  const ossl::PKey key(EVP_RSA_gen(2048));
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key.get(), &der);
  std::vector<std::uint8_t> bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

keystore::KeyPtr load(const SecretBytes& der) {
  auto material = must(keystore::parse_material(der));
  auto half = must(keystore::PublicHalf::of(material.pair.get()));
  return must(keystore::LocalKey::hold(std::move(half), std::move(material.pair)));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::size_t> counts{1, 100, 10'000};
  if (argc > 1) counts.clear();
  for (int i = 1; i < argc; ++i) counts.push_back(std::strtoul(argv[i], nullptr, 10));
  report("no protected memory");
  if (const Status started = memory::initialise({}); !started.ok()) give_up(started.error());
  if (const Status warm = keystore::warm_up(); !warm.ok()) give_up(warm.error());
  const SecretBytes der = must(SecretBytes::copy(sample()));
  std::vector<keystore::KeyPtr> keys;
  for (const std::size_t count : counts) {
    while (keys.size() < count) keys.push_back(load(der));
    report(std::to_string(count) + " RSA-2048 keys");
  }
  return 0;
}
