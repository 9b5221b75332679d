// SPDX-License-Identifier: Apache-2.0
//
// vhsm-case-ab URI...: opens and uses each key twice in one process and prints what each step took
// and whether it touched the platform or the network. An ordinary OpenSSL program: it links the
// system's libcrypto and knows nothing of vhsm but its name.
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/store.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>
#include <vector>

namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    static_cast<void>(Free(object));
  }
};
using PKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using MdCtx = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using Provider = std::unique_ptr<OSSL_PROVIDER, Deleter<OSSL_PROVIDER_unload>>;
using Store = std::unique_ptr<OSSL_STORE_CTX, Deleter<OSSL_STORE_close>>;
using Info = std::unique_ptr<OSSL_STORE_INFO, Deleter<OSSL_STORE_INFO_free>>;

struct Counters {
  std::uint64_t fetches = 0;
  std::uint64_t reports = 0;
};

Counters counters_of(const OSSL_PROVIDER* provider) {
  Counters counters;
  OSSL_PARAM params[] = {OSSL_PARAM_construct_uint64("vhsm-fetches", &counters.fetches),
                         OSSL_PARAM_construct_uint64("vhsm-reports", &counters.reports),
                         OSSL_PARAM_construct_end()};
  OSSL_PROVIDER_get_params(provider, params);
  return counters;
}

PKey open_key(const char* uri) {
  const Store store(OSSL_STORE_open(uri, nullptr, nullptr, nullptr, nullptr));
  while (store != nullptr && OSSL_STORE_eof(store.get()) == 0) {
    const Info info(OSSL_STORE_load(store.get()));
    if (info == nullptr) continue;
    if (OSSL_STORE_INFO_get_type(info.get()) == OSSL_STORE_INFO_PKEY) {
      return PKey(OSSL_STORE_INFO_get1_PKEY(info.get()));
    }
  }
  return nullptr;
}

bool sign(EVP_PKEY* key) {
  constexpr std::string_view kMessage = "a message of the demonstration";
  const auto* const message = reinterpret_cast<const unsigned char*>(kMessage.data());
  const bool plain = EVP_PKEY_is_a(key, "ED25519") == 1;
  const MdCtx context(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (EVP_DigestSignInit_ex(context.get(), nullptr, plain ? nullptr : "SHA256", nullptr, nullptr,
                            key, nullptr) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, message, kMessage.size()) != 1) {
    return false;
  }
  std::vector<unsigned char> signature(size);
  return EVP_DigestSign(context.get(), signature.data(), &size, message, kMessage.size()) == 1;
}

/// Runs one step and prints its line.
template <class Step>
bool measure(const OSSL_PROVIDER* provider, const char* name, const char* uri, Step&& step) {
  const Counters before = counters_of(provider);
  const auto begin = std::chrono::steady_clock::now();
  const bool good = step();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  const Counters after = counters_of(provider);
  std::printf("  %-18s %-24s %9.3f ms   reports +%llu   fetches +%llu\n", name, uri, took.count(),
              static_cast<unsigned long long>(after.reports - before.reports),
              static_cast<unsigned long long>(after.fetches - before.fetches));
  if (!good) ERR_print_errors_fp(stderr);
  return good;
}

bool show(const OSSL_PROVIDER* provider, const char* uri) {
  PKey first;
  PKey again;
  const auto open_into = [uri](PKey& key) {
    key = open_key(uri);
    return key != nullptr;
  };
  return measure(provider, "Case B: open", uri, [&] { return open_into(first); }) &&
         measure(provider, "        sign", uri, [&] { return sign(first.get()); }) &&
         measure(provider, "Case A: open again", uri, [&] { return open_into(again); }) &&
         measure(provider, "        sign again", uri, [&] { return sign(again.get()); });
}

}  // namespace

int main(int argc, char** argv) {
  const Provider system(OSSL_PROVIDER_load(nullptr, "default"));
  const Provider vhsm(OSSL_PROVIDER_load(nullptr, "vhsm"));
  if (system == nullptr || vhsm == nullptr) {
    ERR_print_errors_fp(stderr);
    return 1;
  }
  for (int i = 1; i < argc; ++i) {
    if (!show(vhsm.get(), argv[i])) return 1;
  }
  return 0;
}
