// SPDX-License-Identifier: Apache-2.0
#include "provider/digests.h"

#include <strings.h>

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "keystore/fips.h"

namespace vhsm::provider {
namespace {

constexpr std::array<std::string_view, 3> kMostUsed{"SHA2-256", "SHA2-384", "SHA2-512"};

bool same(std::string_view one, std::string_view other) noexcept {
  return one.size() == other.size() && ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

std::vector<std::string> names_of(const EVP_MD* digest) {
  std::vector<std::string> names;
  EVP_MD_names_do_all(
      digest,
      [](const char* name, void* into) {
        static_cast<std::vector<std::string>*>(into)->emplace_back(name);
      },
      &names);
  return names;
}

std::vector<ossl::Md> all_digests() {
  std::vector<ossl::Md> all;
  EVP_MD_do_all_provided(
      nullptr,
      [](EVP_MD* digest, void* into) {
        if (EVP_MD_up_ref(digest) == 1)
          static_cast<std::vector<ossl::Md>*>(into)->emplace_back(digest);
      },
      &all);
  return all;
}

}  // namespace

Result<Digests> Digests::fetch() {
  const ossl::ErrorMark quiet;
  Digests digests;
  for (ossl::Md& digest : all_digests()) {
    std::vector<std::string> names = names_of(digest.get());
    digests.digests_.push_back({std::move(names), std::move(digest)});
  }
  std::ranges::stable_sort(digests.digests_, {}, [](const Named& one) {
    return std::ranges::find(kMostUsed, EVP_MD_get0_name(one.digest.get()));
  });
  if (!digests.find(kMostUsed[0]).ok()) return fail(Errc::kCrypto, "no SHA-256");
  return digests;
}

Result<const EVP_MD*> Digests::find(std::string_view name) const {
  for (const Named& one : digests_) {
    const auto called = [name](const std::string& known) { return same(known, name); };
    if (std::ranges::any_of(one.names, called)) return one.digest.get();
  }
  if (keystore::fips_is_on()) {
    return fail(Errc::kUnsupported, "the FIPS provider (fips = yes) has no such digest", name);
  }
  return fail(Errc::kUnsupported, "this digest cannot be used for signatures", name);
}

}  // namespace vhsm::provider
