// SPDX-License-Identifier: Apache-2.0
#include "snp/report.h"

#include <numeric>

#include "snp/hex.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

struct LengthCase {
  const char* name;
  std::size_t bytes;
  bool accepted;
};

class ReportLengthTest : public ::testing::TestWithParam<LengthCase> {};

TEST_P(ReportLengthTest, OnlyTheExactLengthIsAccepted) {
  const std::vector<std::uint8_t> raw(GetParam().bytes);
  EXPECT_EQ(UnverifiedReport::parse(raw).ok(), GetParam().accepted);
}

INSTANTIATE_TEST_SUITE_P(Lengths, ReportLengthTest,
                         ::testing::Values(LengthCase{"Empty", 0, false},
                                           LengthCase{"OneShort", kReportBytes - 1, false},
                                           LengthCase{"Exact", kReportBytes, true},
                                           LengthCase{"OneLong", kReportBytes + 1, false}),
                         [](const auto& test) { return test.param.name; });

// A layout with a gap or an overlap does not tile.
static_assert(tiles(std::array{Field{0, 4}, Field{4, 4}}, 8));
static_assert(!tiles(std::array{Field{0, 4}, Field{5, 3}}, 8));
static_assert(!tiles(std::array{Field{0, 4}, Field{3, 5}}, 8));
static_assert(!tiles(std::array{Field{0, 4}, Field{4, 4}}, 9));

TEST(ReportTest, NumbersAreLittleEndian) {
  RawReport raw{};
  std::iota(raw.begin(), raw.end(), std::uint8_t{0});
  const UnverifiedReport report(raw);
  EXPECT_EQ(report.number<field::kVersion>(), 0x03020100U);
  EXPECT_EQ(report.number<field::kPolicy>(), 0x0F0E0D0C0B0A0908U);
  EXPECT_EQ(report.number<field::kCpuidModel>(), 0x89U);
  EXPECT_EQ(report.bytes<field::kMeasurement>().front(), 0x90);
}

TEST(ReportTest, ReadsARealReport) {
  VHSM_NEED_VECTORS();
  const UnverifiedReport report(read_real("05-milan-v3-vcek-azure").evidence.report);
  EXPECT_EQ(report.number<field::kVersion>(), 3U);
  EXPECT_EQ(report.number<field::kGuestSvn>(), 10U);
  EXPECT_EQ(report.number<field::kPolicy>(), 0x3001FU);
  EXPECT_EQ(report.number<field::kPlatformInfo>(),
            platform_bit::kSmt | platform_bit::kEcc | platform_bit::kAliasCheckComplete);
  EXPECT_EQ(report.product().value(), Product::kMilan);
  EXPECT_EQ(decode_tcb(Product::kMilan, report.bytes<field::kReportedTcb>()).value(),
            (Tcb{0, 4, 0, 0x18, 0xDB}));
  EXPECT_EQ(to_hex(report.bytes<field::kCurrentVersion>()), "1d3701");
}

struct ModelCase {
  unsigned family;
  unsigned model;
  std::string_view product;  ///< empty: unknown
};

class ProductTest : public ::testing::TestWithParam<ModelCase> {};

TEST_P(ProductTest, FollowsFromFamilyAndModel) {
  const auto product = product_of(GetParam().family, GetParam().model);
  EXPECT_EQ(product.ok() ? product_name(product.value()) : "", GetParam().product);
}

INSTANTIATE_TEST_SUITE_P(
    Models, ProductTest,
    ::testing::Values(ModelCase{0x19, 0x00, "Milan"}, ModelCase{0x19, 0x0F, "Milan"},
                      ModelCase{0x19, 0x10, "Genoa"}, ModelCase{0x19, 0x1F, "Genoa"},
                      ModelCase{0x19, 0x20, ""}, ModelCase{0x19, 0x9F, ""},
                      ModelCase{0x19, 0xA0, "Genoa"}, ModelCase{0x19, 0xAF, "Genoa"},
                      ModelCase{0x19, 0xB0, ""}, ModelCase{0x1A, 0x00, "Turin"},
                      ModelCase{0x1A, 0x11, "Turin"}, ModelCase{0x1A, 0x12, ""},
                      ModelCase{0x1A, 0x50, ""}, ModelCase{0x1A, 0xC7, ""},
                      ModelCase{0x17, 0x01, ""}, ModelCase{0, 0, ""}));

TEST(TcbTest, LayoutsDifferByProduct) {
  const Tcb tcb{9, 1, 2, 3, 4};
  EXPECT_EQ(encode_tcb(Product::kTurin, tcb), (TcbBytes{9, 1, 2, 3, 0, 0, 0, 4}));
  EXPECT_EQ(encode_tcb(Product::kMilan, tcb), (TcbBytes{1, 2, 0, 0, 0, 0, 3, 4}));
  EXPECT_EQ(decode_tcb(Product::kTurin, encode_tcb(Product::kTurin, tcb)).value(), tcb);
}

TEST(TcbTest, ReservedBytesAreRefused) {
  for (std::size_t i = 0; i < kTcbBytes; ++i) {
    TcbBytes bytes{};
    bytes[i] = 1;
    EXPECT_EQ(decode_tcb(Product::kGenoa, bytes).ok(), i < 2 || i > 5) << i;
    EXPECT_EQ(decode_tcb(Product::kTurin, bytes).ok(), i < 4 || i > 6) << i;
  }
}

TEST(TcbTest, ComparesEachComponentByItself) {
  const Tcb floor{1, 2, 3, 4, 5};
  EXPECT_TRUE(covers(floor, floor));
  EXPECT_FALSE(covers(Tcb{0, 2, 3, 4, 5}, floor));
  EXPECT_FALSE(covers(Tcb{1, 1, 3, 4, 0xFF}, floor));
  EXPECT_FALSE(covers(Tcb{1, 2, 2, 4, 0xFF}, floor));
  EXPECT_FALSE(covers(Tcb{1, 2, 3, 3, 0xFF}, floor));
  EXPECT_FALSE(covers(Tcb{0xFF, 0xFF, 0xFF, 0xFF, 4}, floor));
}

TEST(HexTest, RefusesWhatIsNotExactlyTheDigits) {
  std::array<std::uint8_t, 2> out{};
  EXPECT_TRUE(from_hex("a0Ff", out).ok());
  EXPECT_EQ(to_hex(out), "a0ff");
  for (const char* text : {"", "a0f", "a0ff0", "a0-1", "+1ff", "0xff", "g0ff"}) {
    EXPECT_FALSE(from_hex(text, out).ok()) << text;
  }
}

}  // namespace
}  // namespace vhsm::snp
