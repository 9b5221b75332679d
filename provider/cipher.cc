// SPDX-License-Identifier: Apache-2.0
#include "provider/cipher.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <array>

#include "provider/ossl/compat.h"
#include "provider/provider.h"

namespace vhsm::provider {

Result<std::unique_ptr<Cipher>> Cipher::clone() const {
  auto copy = std::make_unique<Cipher>(provider());
  VHSM_TRY(copy->copy_from(*this));
  return copy;
}

Result<int> Cipher::padding() const {
  int mode = 0;
  std::array<OSSL_PARAM, 2> params{OSSL_PARAM_construct_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &mode),
                                   OSSL_PARAM_construct_end()};
  VHSM_TRY(get_params(params.data()));
  return mode;
}

/// Distributions have brought implicit rejection to older versions, so the parameter tells.
Status Cipher::check_padding() const {
  const OSSL_PARAM* settable = settable_params();
  const bool hides_wrong_padding =
      settable != nullptr &&
      OSSL_PARAM_locate_const(settable, ossl::compat::kImplicitRejection) != nullptr;
  if (hides_wrong_padding || provider().settings().pkcs1_v15_decrypt) return {};
  const int mode = VHSM_TRY(padding());
  if (mode != RSA_PKCS1_PADDING) return {};
  return fail(Errc::kUnsupported,
              "decryption of PKCS#1 v1.5 would tell whether a padding is right; use OAEP, or set "
              "pkcs1_v15_decrypt = yes in vhsm.cnf",
              key()->uri() != nullptr ? key()->uri()->name.uri() : "ephemeral key");
}

Result<std::size_t> Cipher::decrypt(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) {
  if (begun() && out.data() != nullptr) VHSM_TRY(check_padding());
  return run(in, out);
}

}  // namespace vhsm::provider
