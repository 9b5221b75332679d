// SPDX-License-Identifier: Apache-2.0
//
// What is asked of AMD's Key Distribution Service, and what is taken from it. Over a real server:
// tests/cli/fetch_test.cc.
#include "snp/kds.h"

#include <map>

#include "snp/hex.h"
#include "tests/base/temp_dir.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using std::chrono::seconds;

/// A service that answers what it is told to, and remembers what it was asked.
struct Service {
  std::map<std::string, std::vector<KdsAnswer>> answers;  ///< the last one stays
  std::vector<std::string> asked;
  seconds waited{0};

  KdsAccess access() {
    return {.get = [this](const std::string& target) -> Result<KdsAnswer> {
              asked.push_back(target);
              auto& left = answers[target];
              if (left.empty()) return KdsAnswer{404, {}, {}};
              const KdsAnswer answer = left.front();
              if (left.size() > 1) left.erase(left.begin());
              return answer;
            },
            .wait = [this](seconds delay) { waited += delay; }};
  }
};

std::string text_of(const Certificate& certificate) {
  return {certificate.data.begin(), certificate.data.end()};
}

Draft draft_of(Product product) {
  Draft draft;
  EmulatorOptions machine;
  machine.product = product;
  machine.tcb = Tcb{1, 4, 0, 24, 219};
  if (product != Product::kTurin) machine.tcb->fmc = 0;
  draft.state = make_state(machine).value();
  draft.extensions = vcek_extensions(product, draft.state.tcb, draft.state.chip_id);
  return draft;
}

TEST(KdsTest, AsksForChipAndLevelsOfEachProduct) {
  for (const Product product : {Product::kMilan, Product::kGenoa, Product::kTurin}) {
    const Draft draft = draft_of(product);
    const UnverifiedReport report(forge(draft).report);
    const std::string chip = to_hex(draft.state.chip_id.value);
    const bool turin = product == Product::kTurin;
    EXPECT_EQ(vcek_target(report, product).value(),
              "/vcek/v1/" + std::string(product_name(product)) + "/" +
                  (turin ? chip.substr(0, 16) + "?fmcSPL=1&" : chip + "?") +
                  "blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219");
    EXPECT_EQ(crl_target(report, product),
              "/vcek/v1/" + std::string(product_name(product)) + "/crl");
  }
}

TEST(KdsTest, CannotAskForMaskedChipsNorForVleks) {
  Draft draft;
  draft.before_signing = [](RawReport& report) { put(report, field::kChipId, 0); };
  EXPECT_EQ(vcek_target(UnverifiedReport(forge(draft).report), Product::kMilan).error().code,
            Errc::kUnsupported);
  draft.before_signing = [](RawReport& report) {
    put(report, field::kKeyInfo, key_bit::kSignedByVlek);
  };
  const UnverifiedReport report(forge(draft).report);
  EXPECT_EQ(vcek_target(report, Product::kMilan).error().code, Errc::kUnsupported);
  EXPECT_EQ(crl_target(report, Product::kMilan), "/vlek/v1/Milan/crl");
}

class FetchTest : public ::testing::Test {
 protected:
  FetchTest() {
    service_.answers[vcek_] = {{200, text_of(evidence_.certificates[0]), {}}};
    service_.answers[crl_] = {{200, text_of(make_crl(authority().ark, {})), {}}};
  }
  auto fetch() {
    return fetch_certificates(UnverifiedReport(evidence_.report), Product::kMilan, folder_.file(""),
                              service_.access());
  }

  const test::TempDir folder_;
  const Evidence evidence_ = forge(Draft());
  const std::string vcek_ =
      vcek_target(UnverifiedReport(evidence_.report), Product::kMilan).value();
  const std::string crl_ = "/vcek/v1/Milan/crl";
  Service service_;
};

TEST_F(FetchTest, TheFolderIsWhatVerifyTakes) {
  ASSERT_EQ(outcome(fetch()), "ok");
  Roots roots = read_roots(folder_.file(""), "").value();
  EXPECT_EQ(roots.certificates.size(), 2U);
  roots.certificates.push_back(evidence_.certificates[1]);  // an emulator's ASK is not built in
  roots.trust_test_root = test_roots().trust_test_root;
  VerifyOptions options;
  options.require_crl = true;
  EXPECT_EQ(outcome(verify({evidence_.report, {}}, roots, options)), "ok");
}

TEST_F(FetchTest, AsksForACertificateOnceAndForTheListEachTime) {
  ASSERT_EQ(outcome(fetch()), "ok");
  ASSERT_EQ(outcome(fetch()), "ok");
  EXPECT_EQ(std::ranges::count(service_.asked, vcek_), 1);
  EXPECT_EQ(std::ranges::count(service_.asked, crl_), 2);
}

TEST_F(FetchTest, WaitsForAsLongAsTheServiceAsks) {
  const KdsAnswer fine = service_.answers[vcek_].front();
  service_.answers[vcek_] = {{429, {}, seconds(7)}, {429, {}, {}}, fine};
  EXPECT_EQ(outcome(fetch()), "ok");
  EXPECT_EQ(service_.waited, seconds(7 + 20));
}

TEST_F(FetchTest, DoesNotWaitForEver) {
  service_.answers[vcek_] = {{429, {}, seconds(50)}};
  EXPECT_EQ(outcome(fetch()), "unreachable: AMD's certificate service asks to wait for too long");
  EXPECT_EQ(service_.waited, seconds(100));
  service_.answers[vcek_] = {{429, {}, seconds(0)}};
  EXPECT_FALSE(fetch().ok());
  EXPECT_EQ(service_.waited, seconds(100 + 120));
}

TEST_F(FetchTest, TakesNothingElseForACertificateOrAList) {
  for (const std::string& target : {vcek_, crl_}) {
    const KdsAnswer fine = service_.answers[target].front();
    for (const std::string& body : {std::string(), std::string("<html>"), fine.body + "x",
                                    target == vcek_ ? text_of(evidence_.certificates[1])
                                                    : text_of(evidence_.certificates[0])}) {
      service_.answers[target] = {{200, body, {}}};
      // A list is read up to its end; what stands behind it is not looked at.
      if (target == crl_ && body == fine.body + "x") continue;
      EXPECT_EQ(fetch().error().code, Errc::kForged) << target << " " << body.size();
    }
    service_.answers[target] = {fine};
  }
}

TEST_F(FetchTest, SaysWhatTheServiceRefused) {
  service_.answers.erase(crl_);
  const auto files = fetch();
  ASSERT_FALSE(files.ok());
  EXPECT_EQ(files.error().code, Errc::kUnreachable);
  EXPECT_EQ(files.error().subject.text(), "404 for /vcek/v1/Milan/crl");
}

}  // namespace
}  // namespace vhsm::snp
