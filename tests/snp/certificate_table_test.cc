// SPDX-License-Identifier: Apache-2.0
#include "snp/certificate_table.h"

#include "snp/guid.h"
#include "snp/x509.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using Kinds = std::vector<CertificateKind>;

Kinds kinds_of(const std::vector<Certificate>& certificates) {
  Kinds kinds;
  for (const Certificate& one : certificates) kinds.push_back(one.kind);
  return kinds;
}

Kinds kinds_in(const char* file) {
  return kinds_of(
      parse_certificate_table(read_vector(std::string("extra-cert-table/") + file)).value());
}

std::string verdict_on(const char* file) {
  return outcome(parse_certificate_table(read_vector(std::string("extra-cert-table/") + file)));
}

const Kinds kVcekChain{CertificateKind::kVcek, CertificateKind::kAsk, CertificateKind::kArk};

TEST(CertificateTableTest, ReadsGuidsInBothOrders) {
  VHSM_NEED_VECTORS();
  EXPECT_EQ(kinds_in("milan-vcek.bin"), kVcekChain);
  EXPECT_EQ(kinds_in("milan-vcek-mixed-endian-guids.bin"), kVcekChain);
}

TEST(CertificateTableTest, ReadsAVlekAlone) {
  VHSM_NEED_VECTORS();
  EXPECT_EQ(kinds_in("milan-vlek-only.bin"), Kinds{CertificateKind::kVlek});
}

TEST(CertificateTableTest, AZeroPageHoldsNoCertificates) {
  VHSM_NEED_VECTORS();
  EXPECT_EQ(kinds_in("all-zero-4096.bin"), Kinds{});
  EXPECT_TRUE(parse_certificate_table({}).value().empty());
}

TEST(CertificateTableTest, RefusesMalformedTables) {
  VHSM_NEED_VECTORS();
  EXPECT_EQ(verdict_on("bad-u32-wrap.bin"),
            "malformed data: the host's certificate table points outside itself");
  EXPECT_EQ(verdict_on("bad-no-terminator.bin"),
            "malformed data: the host's certificate table has no end");
}

/// A table of one entry and its end, then one page.
std::vector<std::uint8_t> table_of(std::uint32_t offset, std::uint32_t length) {
  std::vector<std::uint8_t> table(kPageBytes);
  table[0] = 0xAA;
  for (std::size_t i = 0; i < 4; ++i) {
    table[16 + i] = static_cast<std::uint8_t>(offset >> (8 * i));
    table[20 + i] = static_cast<std::uint8_t>(length >> (8 * i));
  }
  return table;
}

TEST(CertificateTableTest, EntriesMustLieBehindTheHeaderAndInsideTheTable) {
  EXPECT_TRUE(parse_certificate_table(table_of(48, 1)).ok());
  EXPECT_TRUE(parse_certificate_table(table_of(48, kPageBytes - 48)).ok());
  EXPECT_TRUE(parse_certificate_table(table_of(kPageBytes, 0)).ok());
  EXPECT_FALSE(parse_certificate_table(table_of(47, 1)).ok());
  EXPECT_FALSE(parse_certificate_table(table_of(0, 16)).ok());
  EXPECT_FALSE(parse_certificate_table(table_of(48, kPageBytes - 47)).ok());
  EXPECT_FALSE(parse_certificate_table(table_of(48, 0xFFFFFFFF)).ok());
  EXPECT_FALSE(parse_certificate_table(table_of(0xFFFFFFFF, 0xFFFFFFFF)).ok());
  EXPECT_FALSE(parse_certificate_table(table_of(0xFFFFFFF0, 0x20)).ok());
}

TEST(CertificateTableTest, AnUnknownGuidIsKept) {
  const auto table = parse_certificate_table(table_of(48, 1));
  ASSERT_EQ(table.value().size(), 1U);
  EXPECT_EQ(table.value()[0].kind, CertificateKind::kOther);
  EXPECT_EQ(table.value()[0].guid, "aa000000-0000-0000-0000-000000000000");
}

TEST(CertificateTableTest, RefusesAnEntryTwiceInEitherOrder) {
  const Certificate vcek{CertificateKind::kVcek, {}, {1}};
  auto table = write_certificate_table(std::array{vcek, vcek}).value();
  EXPECT_EQ(outcome(parse_certificate_table(table)),
            "malformed data: the host's certificate table has an entry twice");
  std::reverse(table.begin(), table.begin() + 4);
  std::reverse(table.begin() + 4, table.begin() + 6);
  std::reverse(table.begin() + 6, table.begin() + 8);
  EXPECT_EQ(outcome(parse_certificate_table(table)),
            "malformed data: the host's certificate table has an entry twice");
}

TEST(CertificateTableTest, RefusesTooManyEntriesAndTooManyBytes) {
  std::vector<std::uint8_t> table(kMaxTableBytes);
  for (std::size_t i = 0; i <= kMaxTableEntries; ++i) {
    table[24 * i] = static_cast<std::uint8_t>(i + 1);
    table[24 * i + 17] = 0x08;  // offset 0x800
  }
  EXPECT_EQ(outcome(parse_certificate_table(table)),
            "malformed data: the host's certificate table has too many entries");
  table.resize(kMaxTableBytes + 1);
  EXPECT_EQ(outcome(parse_certificate_table(table)),
            "bad length: the host's certificate table is over 16 KiB");
}

TEST(CertificateTableTest, ReadsBackWhatItWrites) {
  const std::array written{
      Certificate{CertificateKind::kVcek, {}, {1, 2, 3}},
      Certificate{CertificateKind::kAsk, {}, {4}}, Certificate{CertificateKind::kCrl, {}, {}},
      Certificate{CertificateKind::kOther, "ecae0c0f-9502-43b1-afa2-0ae2e0d565b6", {5, 6}}};
  const auto table = write_certificate_table(written).value();
  EXPECT_EQ(table.size() % kPageBytes, 0U);
  const auto read = parse_certificate_table(table).value();
  ASSERT_EQ(read.size(), written.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].kind, written[i].kind);
    EXPECT_EQ(read[i].guid, written[i].guid);
    EXPECT_EQ(read[i].data, written[i].data);
  }
}

TEST(CertificateTableTest, WritesNoTableThatTheKernelWouldNotPass) {
  const std::array big{
      Certificate{CertificateKind::kVcek, {}, std::vector<std::uint8_t>(kMaxTableBytes)}};
  EXPECT_EQ(write_certificate_table(big).error().code, Errc::kBadLength);
  const std::array unnamed{Certificate{CertificateKind::kOther, "no guid", {}}};
  EXPECT_EQ(write_certificate_table(unnamed).error().code, Errc::kInvalidArgument);
}

TEST(CertificateTableTest, TellsVcekAndVlekApartByName) {
  const Issuer vlek = make_leaf(authority().ask, "SEV-VLEK", {}).value();
  const auto table = write_certificate_table(
      std::array{certificate_of(vlek.certificate.get(), CertificateKind::kVcek)});
  EXPECT_EQ(kinds_of(parse_certificate_table(table.value()).value()),
            Kinds{CertificateKind::kVlek});
}

TEST(CertificateTableTest, TellsAskAndAsvkApartByName) {
  VHSM_NEED_VECTORS();
  const auto table = write_certificate_table(
      std::array{Certificate{CertificateKind::kAsvk, {}, read_vector("roots/milan_asvk.der")}});
  EXPECT_EQ(kinds_of(parse_certificate_table(table.value()).value()),
            Kinds{CertificateKind::kAsvk});
}

TEST(GuidTest, OnlyTheTextFormIsAccepted) {
  const std::string text = "63da758d-e664-4564-adc5-f4b93be8accd";
  EXPECT_EQ(to_text(parse_guid(text).value()), text);
  for (const char* bad :
       {"", "63da758de6644564adc5f4b93be8accd", "63da758d-e664-4564-adc5-f4b93be8acc",
        "63da758d-e664-4564-adc5-f4b93be8accdd", "63da758d_e664_4564_adc5_f4b93be8accd",
        "63da758d-e664-4564-adc5-f4b93be8accg"}) {
    EXPECT_FALSE(parse_guid(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace vhsm::snp
