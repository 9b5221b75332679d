// SPDX-License-Identifier: Apache-2.0
//
// Real reports of real machines against AMD's pinned roots.
#include <openssl/x509.h>

#include <tuple>

#include "snp/amd_certificates.h"
#include "snp/amd_pins.h"
#include "snp/hex.h"
#include "snp/report_signature.h"
#include "snp/x509.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

struct RealCase {
  const char* name;
  const char* folder;
  Product product;
  bool debug;
};

class RealReportTest : public ::testing::TestWithParam<RealCase> {
 protected:
  void SetUp() override {
    VHSM_NEED_VECTORS();
    vector_ = read_real(GetParam().folder);
  }
  Vector vector_;
};

ReportPolicy policy_for(const VerifiedReport& report) {
  ReportPolicy policy;
  policy.report_data.emplace();
  std::ranges::copy(report.bytes<field::kReportData>(), policy.report_data->begin());
  policy.vmpl = 0;
  policy.measurements = {report.measurement()};
  return policy;
}

TEST_P(RealReportTest, IsGenuine) {
  const auto report = verify(vector_.evidence, Roots{}, vector_.options);
  ASSERT_EQ(outcome(report), "ok");
  EXPECT_EQ(report.value().product(), GetParam().product);
  EXPECT_EQ(report.value().signer(), CertificateKind::kVcek);
  EXPECT_FALSE(report.value().development());
}

TEST_P(RealReportTest, PassesAFittingPolicyUnlessItCanBeDebugged) {
  const auto report = verify(vector_.evidence, Roots{}, vector_.options);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(outcome(judge(report.value(), policy_for(report.value()))),
            GetParam().debug
                ? "refused by policy: the guest may be debugged by its host (POLICY.DEBUG)"
                : "ok");
}

TEST_P(RealReportTest, IsRefusedWhenItsSignatureChanges) {
  for (std::size_t at = kSignedBytes; at < kReportBytes; at += 5) {
    Evidence changed = vector_.evidence;
    changed.report[at] ^= 0x80;
    EXPECT_FALSE(verify(changed, Roots{}, vector_.options).ok()) << "byte " << at;
  }
}

TEST_P(RealReportTest, IsRefusedBeforeItsCertificateIsValid) {
  vector_.options.at = *vector_.options.at - std::chrono::hours(48);
  EXPECT_EQ(outcome(verify(vector_.evidence, Roots{}, vector_.options)),
            "untrusted chain: the certificate chain does not verify");
}

TEST_P(RealReportTest, IsRefusedAfterItsCertificateHasExpired) {
  vector_.options.at = *vector_.options.at + std::chrono::hours(24 * 366 * 7);
  EXPECT_EQ(outcome(verify(vector_.evidence, Roots{}, vector_.options)),
            "untrusted chain: the certificate chain does not verify");
}

TEST_P(RealReportTest, IsRefusedForAnotherProduct) {
  vector_.options.product =
      GetParam().product == Product::kMilan ? Product::kGenoa : Product::kMilan;
  EXPECT_EQ(outcome(verify(vector_.evidence, Roots{}, vector_.options)),
            "untrusted chain: the report comes from another product");
}

TEST_P(RealReportTest, NeedsNothingButItsLeaf) {
  vector_.evidence.certificates.resize(1);
  EXPECT_EQ(outcome(verify(vector_.evidence, Roots{}, vector_.options)), "ok");
}

TEST_P(RealReportTest, TakesTheLeafFromAFolderToo) {
  vector_.evidence.certificates.clear();
  const auto roots = read_roots(vectors_folder() + "/" + GetParam().folder, "");
  ASSERT_TRUE(roots.ok());
  EXPECT_EQ(outcome(verify(vector_.evidence, roots.value(), vector_.options)), "ok");
}

const auto kRealCases = ::testing::Values(
    RealCase{"MilanV2Debug", "01-milan-v2-vcek-gosevguest-debugpolicy", Product::kMilan, true},
    RealCase{"MilanV2", "02-milan-v2-vcek-virtee", Product::kMilan, false},
    RealCase{"MilanV3", "05-milan-v3-vcek-azure", Product::kMilan, false},
    RealCase{"GenoaV3", "11-genoa-v3-vcek-ccf", Product::kGenoa, false});

INSTANTIATE_TEST_SUITE_P(Real, RealReportTest, kRealCases,
                         [](const auto& test) { return test.param.name; });

/// One bit of each signed byte; all eight together are all bits. Each flip breaks the signature;
/// for one flip in eight the chain, which none of them touches, is verified anew, too.
class FlippedBitTest : public ::testing::TestWithParam<std::tuple<RealCase, unsigned>> {};

TEST_P(FlippedBitTest, IsRefusedInEverySignedByte) {
  VHSM_NEED_VECTORS();
  const auto& [real, bit] = GetParam();
  const Vector vector = read_real(real.folder);
  ASSERT_EQ(outcome(verify(vector.evidence, Roots{}, vector.options)), "ok");
  const auto leaf = parse_certificates(vector.evidence.certificates[0].data);
  EVP_PKEY* const key = X509_get0_pubkey(leaf.front().get());
  for (std::size_t at = 0; at < kSignedBytes; ++at) {
    Evidence changed = vector.evidence;
    changed.report[at] ^= static_cast<std::uint8_t>(1U << bit);
    EXPECT_EQ(check_signature(key, UnverifiedReport(changed.report)).error().code,
              Errc::kBadSignature)
        << "byte " << at;
    if (at % 8 == bit) {
      EXPECT_FALSE(verify(changed, Roots{}, vector.options).ok()) << "byte " << at;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Real, FlippedBitTest,
                         ::testing::Combine(kRealCases, ::testing::Range(0U, 8U)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + std::string("Bit") +
                                  std::to_string(std::get<1>(test.param));
                         });

TEST(RealCertificatesTest, TheLeafOfAnotherMachineDoesNotFit) {
  VHSM_NEED_VECTORS();
  Vector vector = read_real("02-milan-v2-vcek-virtee");
  const Vector other = read_real("05-milan-v3-vcek-azure");
  vector.evidence.certificates[0] = other.evidence.certificates[0];
  EXPECT_EQ(outcome(verify(vector.evidence, Roots{}, other.options)),
            "bad signature: the report was not signed by the certificate's key");
}

TEST(RealCertificatesTest, ALeafOfAnotherProductIsRefused) {
  VHSM_NEED_VECTORS();
  Vector vector = read_real("02-milan-v2-vcek-virtee");
  const Vector genoa = read_real("11-genoa-v3-vcek-ccf");
  vector.evidence.certificates[0] = genoa.evidence.certificates[0];
  vector.options.at = genoa.options.at;
  EXPECT_EQ(outcome(verify(vector.evidence, Roots{}, vector.options)),
            "bad signature: the report was not signed by the certificate's key");
  vector.options.product = Product::kMilan;
  EXPECT_EQ(outcome(verify(vector.evidence, Roots{}, vector.options)),
            "untrusted chain: the report comes from another product");
}

TEST(RealCertificatesTest, WhatIsBuiltInHasItsPins) {
  for (const Product product : {Product::kMilan, Product::kGenoa, Product::kTurin}) {
    const std::string_view pem = amd_certificates(product);
    const auto parsed =
        parse_certificates({reinterpret_cast<const std::uint8_t*>(pem.data()), pem.size()});
    ASSERT_EQ(parsed.size(), 3U);
    for (const ossl::X509Cert& one : parsed) {
      EXPECT_EQ(to_hex(der_sha256(one.get()).value()),
                pin_of(product, kind_by_name(common_name(one.get()))));
    }
  }
}

TEST(RealCertificatesTest, PinsAreThoseOfAmdsCertificates) {
  VHSM_NEED_VECTORS();
  const std::array<std::pair<const char*, CertificateKind>, 3> kinds{
      {{"ark", CertificateKind::kArk},
       {"ask", CertificateKind::kAsk},
       {"asvk", CertificateKind::kAsvk}}};
  const std::array<std::pair<const char*, Product>, 3> products{
      {{"milan", Product::kMilan}, {"genoa", Product::kGenoa}, {"turin", Product::kTurin}}};
  for (const auto& [product_file, product] : products) {
    for (const auto& [kind_file, kind] : kinds) {
      const std::string file = std::string("roots/") + product_file + "_" + kind_file + ".pem";
      const auto parsed = parse_certificates(read_vector(file));
      ASSERT_EQ(parsed.size(), 1U) << file;
      EXPECT_EQ(to_hex(der_sha256(parsed[0].get()).value()), pin_of(product, kind)) << file;
      EXPECT_EQ(kind_by_name(common_name(parsed[0].get())), kind) << file;
    }
  }
}

}  // namespace
}  // namespace vhsm::snp
