// SPDX-License-Identifier: Apache-2.0
//
// residue_host NEEDLES KEY: a host program that uses the key KEY (a vhsm: URI, or a file for the
// positive control) in every way, and then looks through its own memory. Prints a line for each
// finding; exit status 0: none, 3: some, 1: could not work.
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/residue/needles.h"

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key load(const char* uri) {
  Key key(nullptr, EVP_PKEY_free);
  OSSL_STORE_CTX* store = OSSL_STORE_open(uri, nullptr, nullptr, nullptr, nullptr);
  while (store != nullptr && key == nullptr && OSSL_STORE_eof(store) == 0) {
    OSSL_STORE_INFO* info = OSSL_STORE_load(store);
    if (info == nullptr) break;
    if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
      key.reset(OSSL_STORE_INFO_get1_PKEY(info));
    }
    OSSL_STORE_INFO_free(info);
  }
  OSSL_STORE_close(store);
  return key;
}

bool sign(EVP_PKEY* key, const char* digest, bool pss) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> ctx(EVP_MD_CTX_new(),
                                                                    EVP_MD_CTX_free);
  EVP_PKEY_CTX* inner = nullptr;
  std::array<unsigned char, 1024> signature{};
  std::size_t size = signature.size();
  if (EVP_DigestSignInit_ex(ctx.get(), &inner, digest, nullptr, nullptr, key, nullptr) != 1) {
    return false;
  }
  if (pss && EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING) != 1) return false;
  constexpr unsigned char kMessage[] = "a message of some length for the signature";
  return EVP_DigestSign(ctx.get(), signature.data(), &size, kMessage, sizeof kMessage) == 1;
}

using KeyCtx = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;

bool decrypt(EVP_PKEY* key) {
  std::array<unsigned char, 1024> ciphertext{};
  std::array<unsigned char, 1024> plaintext{};
  std::size_t size = ciphertext.size();
  const KeyCtx in(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr), EVP_PKEY_CTX_free);
  constexpr unsigned char kMessage[] = "plaintext";
  if (EVP_PKEY_encrypt_init(in.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(in.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_encrypt(in.get(), ciphertext.data(), &size, kMessage, sizeof kMessage) != 1) {
    return false;
  }
  const KeyCtx out(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr), EVP_PKEY_CTX_free);
  std::size_t plain_size = plaintext.size();
  return EVP_PKEY_decrypt_init(out.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(out.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_decrypt(out.get(), plaintext.data(), &plain_size, ciphertext.data(), size) == 1 &&
         std::memcmp(plaintext.data(), kMessage, sizeof kMessage) == 0;
}

bool derive(EVP_PKEY* key) {
  const KeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr), EVP_PKEY_CTX_free);
  std::array<unsigned char, 128> shared{};
  std::size_t size = shared.size();
  return EVP_PKEY_derive_init(ctx.get()) == 1 && EVP_PKEY_derive_set_peer(ctx.get(), key) == 1 &&
         EVP_PKEY_derive(ctx.get(), shared.data(), &size) == 1;
}

bool use(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    return sign(key, "SHA256", false) && sign(key, "SHA384", true) && decrypt(key);
  }
  if (EVP_PKEY_is_a(key, "EC") == 1) return sign(key, "SHA256", false) && derive(key);
  if (EVP_PKEY_is_a(key, "X25519") == 1) return derive(key);
  return sign(key, nullptr, false);
}

/// On this thread and on others, and with copies of the handle.
bool use_everywhere(EVP_PKEY* key) {
  bool good = use(key);
  std::array<bool, 3> results{};
  std::vector<std::thread> threads;
  for (bool& result : results) {
    threads.emplace_back([&result, key] {
      const Key copy(EVP_PKEY_dup(key), EVP_PKEY_free);
      result = copy != nullptr && use(copy.get()) && use(key);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const bool result : results) good = good && result;
  return good;
}

int search(const char* needles) {
  const vhsm::tests::Windows windows(vhsm::tests::read_needles(needles));
  const auto findings = vhsm::tests::search_own_memory(windows);
  for (const auto& finding : findings) {
    std::printf("%s in %s\n", finding.needle.c_str(), finding.mapping.c_str());
  }
  return findings.empty() ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const bool held = std::string_view(argv[2]).starts_with("vhsm:");
  if (held && OSSL_PROVIDER_load(nullptr, "vhsm") == nullptr) return ERR_print_errors_fp(stderr), 1;
  OSSL_PROVIDER_load(nullptr, "default");
  const Key key = load(argv[2]);
  if (key == nullptr || !use_everywhere(key.get())) return ERR_print_errors_fp(stderr), 1;
  return search(argv[1]);
}
