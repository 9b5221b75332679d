// SPDX-License-Identifier: Apache-2.0
#include "provider/signature_scheme.h"

#include <openssl/params.h>

#include <algorithm>

#include "provider/ossl/compat.h"

namespace vhsm::provider {
namespace {

constexpr OSSL_PARAM bytes_named(const char* name) {
  return {name, OSSL_PARAM_OCTET_STRING, nullptr, 0, OSSL_PARAM_UNMODIFIED};
}

constexpr OSSL_PARAM kEnd{nullptr, 0, nullptr, 0, 0};
constexpr OSSL_PARAM kOfHashing[] = {bytes_named(ossl::compat::kSignature), kEnd};
constexpr OSSL_PARAM kOfWhole[] = {bytes_named(ossl::compat::kContextString), kEnd};

constexpr std::array<std::string_view, 6> kFixed{"digest",      "pad-mode", "saltlen",
                                                 "mgf1-digest", "instance", "nonce-type"};

}  // namespace

std::array<OSSL_PARAM, 2> instance_params(const SignatureScheme& scheme) noexcept {
  if (scheme.instance == nullptr) return {kEnd, kEnd};
  // OSSL_PARAM's pointer is not const; setters only read.
  return {OSSL_PARAM_construct_utf8_string(ossl::compat::kInstance,
                                           const_cast<char*>(scheme.instance), 0),
          kEnd};
}

const OSSL_PARAM* settable_params_of(const SignatureScheme& scheme) noexcept {
  return scheme.instance == nullptr ? kOfHashing : kOfWhole;
}

bool is_fixed(std::string_view name) noexcept {
  return std::ranges::find(kFixed, name) != kFixed.end();
}

}  // namespace vhsm::provider
