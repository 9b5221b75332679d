// SPDX-License-Identifier: Apache-2.0
//
// Source of the vectors: made with two independent canonicalisers; the last one is Trustee's own.
#include "jose/runtime.h"

#include <openssl/evp.h>

#include "jose/jcs.h"
#include "tests/jose/support.h"

namespace vhsm::jose {
namespace {

constexpr std::string_view kNonce = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

std::string hex(std::span<const std::uint8_t> octets) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t octet : octets) {
    out += kDigits[octet >> 4];
    out += kDigits[octet & 15];
  }
  return out;
}

std::string sha384(std::string_view text) {
  std::array<std::uint8_t, 48> digest{};
  unsigned length = 0;
  EXPECT_EQ(EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha384(), nullptr), 1);
  return hex(digest);
}

TEST(Jcs, SortsMembersAndEscapesOnlyWhatItMust) {
  EXPECT_EQ(canonical(Json::parse(R"({"b":1,"a":{"z":"\/\u00e9\"\n","y":[true,null]}})")),
            "{\"a\":{\"y\":[true,null],\"z\":\"/\xc3\xa9\\\"\\n\"},\"b\":1}");
}

TEST(Jcs, NeverThrowsOnBytesThatAreNoUtf8) {
  EXPECT_EQ(canonical(Json("\xff")), "\"\xef\xbf\xbd\"");
}

TEST(Jcs, HashesTrusteesOwnVector) {
  EXPECT_EQ(sha384(canonical(Json::parse(R"({"c":{"d":"e"},"a":"test","b":1})"))),
            "e71ce8e70d814ba6639c3612ebee0ff1f76f650f8dbb5e47157e0f3f525cd22c4597480a186427c813ca94"
            "1da78870c3");
}

TEST(ReportData, CanonicalTextIsTheWorkedVector) {
  EXPECT_EQ(canonical(runtime_claims(kNonce, bob())),
            R"({"additional-evidence":"","nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",)"
            R"("tee-pubkey":{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC",)"
            R"("x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",)"
            R"("y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"}})");
}

TEST(ReportData, MatchesTheWorkedVector) {
  EXPECT_EQ(hex(report_data(kNonce, bob()).value()),
            "d59c5ca13c55df86b2fc4ce983ae8f26d00a1082f3acf26d7b077c4a7a264e44b4b1f8cce97801cfba202e"
            "3197d053ef00000000000000000000000000000000");
}

TEST(ReportData, CoversAdditionalEvidence) {
  const std::string_view additional =
      R"({"sampledevice":{"report_data":"qinaRwejakzbES9bpiLI0IRDsxH9OYXrGXcRyPo9tpX7xMDQXshn9B5lZJCu5RIN","svn":"2"}})";
  EXPECT_EQ(hex(report_data(kNonce, bob(), additional).value()).substr(0, 96),
            "a70e1f24137ead89e6be413e20f57ffc268b267fe83d096e5d02f6ecc85303c8bfec8b05dfc0d4f6a33df5"
            "0f371375fe");
}

TEST(ReportData, ChangesWithNonceAndKey) {
  const auto data = report_data(kNonce, bob()).value();
  EXPECT_NE(report_data("other", bob()).value(), data);
  EXPECT_NE(report_data(kNonce, alice()).value(), data);
}

}  // namespace
}  // namespace vhsm::jose
