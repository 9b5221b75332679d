// SPDX-License-Identifier: Apache-2.0
//
// What binds a report to one attestation.
#include "jose/runtime.h"

#include <openssl/evp.h>

#include "jose/jcs.h"

namespace vhsm::jose {

Json runtime_claims(std::string_view nonce, const TeeJwk& tee_key,
                    std::string_view additional_evidence) {
  return Json{{"additional-evidence", additional_evidence},
              {"nonce", nonce},
              {"tee-pubkey", to_json(tee_key)}};
}

Result<RuntimeReportData> report_data(std::string_view nonce, const TeeJwk& tee_key,
                                      std::string_view additional_evidence) {
  const std::string text = canonical(runtime_claims(nonce, tee_key, additional_evidence));
  RuntimeReportData data{};
  unsigned length = 0;
  VHSM_TRY(crypto(EVP_Digest(text.data(), text.size(), data.data(), &length, EVP_sha384(), nullptr),
                  "SHA-384"));
  static_assert(kRuntimeDigestBytes < std::tuple_size_v<RuntimeReportData>);
  if (length != kRuntimeDigestBytes) return fail(Errc::kCrypto, "SHA-384");
  return data;
}

}  // namespace vhsm::jose
