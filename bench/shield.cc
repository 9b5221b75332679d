// SPDX-License-Identifier: Apache-2.0
//
// bench_shield [--keys N]
//
// What the first signature with a shielded key costs above one with a hot key: N keys (1 000) of a
// type are imported after so many others that they are shielded, then each signs three times. The
// first finds it shielded, the third hot. Each signature is what a server does: a new context, one
// initialisation, one EVP_DigestSign. Medians.
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/host.h"

namespace {

using namespace vhsm::bench;

double microseconds_to_sign(EVP_PKEY* key, const char* digest) {
  unsigned char signature[1024];
  std::size_t size = sizeof signature;
  const auto start = Clock::now();
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  const bool good = EVP_DigestSignInit_ex(ctx, nullptr, digest, nullptr, nullptr, key, nullptr) &&
                    EVP_DigestSign(ctx, signature, &size, kMessage, sizeof kMessage) == 1;
  EVP_MD_CTX_free(ctx);
  const auto end = Clock::now();
  if (!good) stop("a signature failed");
  return std::chrono::duration<double, std::micro>(end - start).count();
}

/// Two copies of a key are two keys to vhsm, so one is generated. What comes later than the first
/// `count` drives them out of the hot set.
void measure(const std::string& name, std::size_t count) {
  constexpr std::size_t kOthers = 1500;
  const char* digest = name.starts_with("ED") ? nullptr : "SHA256";
  const Key original = generate(name);
  if (original == nullptr) stop("no such key type");
  std::vector<Key> keys;
  for (std::size_t i = 0; i < count + kOthers; ++i) keys.push_back(import_to_vhsm(original.get()));
  std::vector<double> first;
  std::vector<double> hot;
  for (std::size_t i = 0; i < count; ++i) {
    first.push_back(microseconds_to_sign(keys[i].get(), digest));
    microseconds_to_sign(keys[i].get(), digest);
    hot.push_back(microseconds_to_sign(keys[i].get(), digest));
  }
  std::printf("%-10s shielded %8.1f us   hot %8.1f us   difference %6.1f us\n", name.c_str(),
              median(first), median(hot), median(first) - median(hot));
  std::fflush(stdout);
}

void load_providers() {
  char path[] = "/tmp/vhsm-bench-XXXXXX";
  const int file = ::mkstemp(path);
  constexpr std::string_view kSettings = "[vhsm]\nimport_private = yes\n";
  if (file < 0 || ::write(file, kSettings.data(), kSettings.size()) < 0) stop("no temporary file");
  ::close(file);
  ::setenv("VHSM_CONF", path, 1);
  OSSL_PROVIDER_load(nullptr, "default");
  OSSL_PROVIDER_set_default_search_path(nullptr, VHSM_LIB_DIR);
  const bool loaded = OSSL_PROVIDER_load(nullptr, "vhsm") != nullptr;
  ::unlink(path);
  if (!loaded) stop("the vhsm provider does not load");
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 1000;
  if (argc == 3 && std::string_view(argv[1]) == "--keys") {
    count = static_cast<std::size_t>(std::max(1, std::atoi(argv[2])));
  } else if (argc != 1) {
    stop("usage: bench_shield [--keys N]");
  }
  std::printf("%s; medians of %zu keys\n", OpenSSL_version(OPENSSL_VERSION), count);
  std::fflush(stdout);
  // Each type in a process of its own, so that it finds protected memory empty.
  for (const char* name : {"P-256", "ED25519", "P-384", "P-521", "RSA-2048"}) {
    const pid_t child = ::fork();
    if (child == 0) {
      load_providers();
      measure(name, count);
      ::_exit(0);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) return 1;
  }
  return 0;
}
