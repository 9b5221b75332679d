// SPDX-License-Identifier: Apache-2.0
//
// The shape of a leaf that no honest authority would issue.
#include "snp/leaf.h"

#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

TEST(LeafTest, ARealLooksLikeALeaf) {
  const Issuer leaf = make_leaf(authority().ask, "SEV-VCEK", {}).value();
  EXPECT_EQ(outcome(check_leaf_shape(leaf.certificate.get())), "ok");
}

TEST(LeafTest, ACertificateOfACaIsNoLeaf) {
  EXPECT_EQ(outcome(check_leaf_shape(authority().ask.certificate.get())),
            "malformed data: the signing key's certificate is a CA's");
}

TEST(LeafTest, AKeyOnAnotherCurveIsRefused) {
  const Issuer leaf = make_leaf(authority().ask, "SEV-VCEK", {}).value();
  const ossl::PKey p256(EVP_EC_gen("P-256"));
  ASSERT_EQ(X509_set_pubkey(leaf.certificate.get(), p256.get()), 1);
  EXPECT_EQ(outcome(check_leaf_shape(leaf.certificate.get())),
            "malformed data: the signing key is not on the curve P-384");
}

TEST(LeafTest, AnRsaKeyIsRefused) {
  const Issuer leaf = make_leaf(authority().ask, "SEV-VCEK", {}).value();
  ASSERT_EQ(X509_set_pubkey(leaf.certificate.get(), authority().ark.key.get()), 1);
  EXPECT_EQ(outcome(check_leaf_shape(leaf.certificate.get())),
            "malformed data: the signing key is not on the curve P-384");
}

TEST(LeafTest, AnotherSignatureAlgorithmIsRefused) {
  const Issuer leaf = make_leaf(authority().ask, "SEV-VCEK", {}).value();
  ASSERT_GT(X509_sign(leaf.certificate.get(), authority().ask.key.get(), EVP_sha256()), 0);
  EXPECT_EQ(outcome(check_leaf_shape(leaf.certificate.get())),
            "malformed data: the signing key's certificate is not signed by PSS with SHA-384");
}

TEST(LeafTest, AnOldX509VersionIsRefused) {
  const Issuer leaf = make_leaf(authority().ask, "SEV-VCEK", {}).value();
  ASSERT_EQ(X509_set_version(leaf.certificate.get(), 0), 1);
  EXPECT_EQ(outcome(check_leaf_shape(leaf.certificate.get())),
            "malformed data: the signing key's certificate is not X.509 version 3");
}

TEST(LeafTest, ReadsTheProductWithoutItsStepping) {
  LeafExtensions extensions;
  extensions.product_name = "Milan-B0";
  EXPECT_EQ(leaf_product(extensions).value(), Product::kMilan);
  extensions.product_name = "Turin";
  EXPECT_EQ(leaf_product(extensions).value(), Product::kTurin);
  extensions.product_name = "Milanese";
  EXPECT_EQ(outcome(leaf_product(extensions)),
            "malformed data: the certificate is for an unknown product");
}

TEST(LeafTest, ATurinsChipIdIsEightBytesAndZeros) {
  LeafExtensions extensions;
  extensions.hw_id = {1, 2, 3, 4, 5, 6, 7, 8};
  std::array<std::uint8_t, 64> chip_id{1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_TRUE(is_for_chip(extensions, Product::kTurin, chip_id));
  EXPECT_FALSE(is_for_chip(extensions, Product::kMilan, chip_id));
  chip_id[63] = 1;
  EXPECT_FALSE(is_for_chip(extensions, Product::kTurin, chip_id));
}

}  // namespace
}  // namespace vhsm::snp
