// SPDX-License-Identifier: Apache-2.0
#include "tests/provider/twins.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <regex>

namespace vhsm::test {
namespace {

struct Allowed {
  const char* id;      ///< as in docs/differences.md
  const char* ours;    ///< pattern of a line that may differ
  const char* theirs;  ///< ... from such a one
};

constexpr const char* kRefusedInit = "(^|, )(sign |verify )?init: (0|-2)(, with an error)?$";

constexpr Allowed kAllowed[] = {
    {"settable", "^settable: ", "^settable: "},
    {"no-such-operation", kRefusedInit, kRefusedInit},
    {"empty-signature", "^at 0, cut: -1, with an error$", "^at 0, cut: 0, with an error$"},
    {"own-group", "^group=[^,]*, set: (0|-2), with an error$",
     "^group=[^,]*, set: (0|-2), with an error$"},
    {"digest-properties", "^unknown property: 1$", "^unknown property: 0, with an error$"},
};

constexpr std::string_view kWithError = ", with an error";

/// Where the default provider fails without a word, vhsm may give a reason.
bool may_differ(const std::string& ours, const std::string& theirs) {
  return ours == theirs + std::string(kWithError) ||
         std::ranges::any_of(kAllowed, [&](const Allowed& allowed) {
           return std::regex_search(ours, std::regex(allowed.ours)) &&
                  std::regex_search(theirs, std::regex(allowed.theirs));
         });
}

std::string hex(const Bytes& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const auto byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

bool Transcript::call(std::string_view what, int rc) {
  const bool queued = ERR_peek_error() != 0;
  ERR_clear_error();
  value(what, std::to_string(rc) + std::string(queued ? kWithError : ""));
  return rc == 1;
}

void Transcript::value(std::string_view what, std::string_view value) {
  lines_.push_back(prefix_ + std::string(what) + ": " + std::string(value));
}

void Transcript::bytes(std::string_view what, const Bytes& value) {
  this->value(what, std::to_string(value.size()) + " bytes " + hex(value));
}

Transcript::Section::Section(Transcript& transcript, const std::string& name)
    : transcript_(transcript), before_(transcript.prefix_.size()) {
  transcript.prefix_ += name + ", ";
}

Transcript::Section::~Section() { transcript_.prefix_.resize(before_); }

void TwinTest::SetUp() {
  ours_ = host_.open(folder_.uri(kind().name));
  theirs_ = folder_.in_default(plain_, kind().name);
  ASSERT_NE(ours_, nullptr) << take_errors();
  ASSERT_NE(theirs_, nullptr) << take_errors();
  judge_ = plain_.public_in_default(theirs_.get());
}

void TwinTest::compare(const Script& script) const {
  ERR_clear_error();
  Transcript ours;
  script({host_.ctx(), ours_.get(), judge_.get()}, ours);
  Transcript theirs;
  script({plain_.ctx(), theirs_.get(), judge_.get()}, theirs);
  ASSERT_FALSE(theirs.lines().empty());
  for (std::size_t i = 0; i < std::min(theirs.lines().size(), ours.lines().size()); ++i) {
    const std::string& a = ours.lines()[i];
    const std::string& b = theirs.lines()[i];
    // What comes after the first difference of a script follows from it.
    if (a != b && !may_differ(a, b)) FAIL() << "vhsm    " << a << "\ndefault " << b;
  }
  EXPECT_EQ(ours.lines().size(), theirs.lines().size());
}

std::vector<std::string> all_digests() {
  const Host plain(nullptr);
  std::vector<std::string> names;
  EVP_MD_do_all_provided(
      plain.ctx(),
      [](EVP_MD* digest, void* arg) {
        static_cast<std::vector<std::string>*>(arg)->emplace_back(EVP_MD_get0_name(digest));
      },
      &names);
  std::ranges::sort(names);
  names.insert(names.end(), {"", "NONSENSE"});
  return names;
}

std::vector<std::string> names_of(const OSSL_PARAM* descriptors) {
  std::vector<std::string> names;
  for (; descriptors != nullptr && descriptors->key != nullptr; ++descriptors)
    names.emplace_back(descriptors->key);
  std::ranges::sort(names);
  return names;
}

std::string twin_name(const ::testing::TestParamInfo<tests::Kind>& info) {
  return tests::plain(info.param.name);
}

}  // namespace vhsm::test
