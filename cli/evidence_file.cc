// SPDX-License-Identifier: Apache-2.0
#include "cli/evidence_file.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "jose/json.h"
#include "snp/evidence_json.h"
#include "snp/files.h"
#include "snp/report.h"

namespace vhsm::cli {
namespace {

bool is_json(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto first = std::ranges::find_if(bytes, [&](std::uint8_t byte) {
    return kBlanks.find(static_cast<char>(byte)) == kBlanks.npos;
  });
  return first != bytes.end() && *first == '{';
}

/// A raw report, or evidence in Trustee's JSON form.
Result<snp::Evidence> evidence_of(std::span<const std::uint8_t> bytes) {
  if (!is_json(bytes)) {
    const auto report = snp::UnverifiedReport::parse(bytes);
    if (report.ok()) return snp::Evidence{report.value().raw(), {}};
    return fail(Errc::kBadFormat, "neither a report of 1184 bytes nor evidence as JSON");
  }
  const auto json =
      VHSM_TRY(jose::parse_object({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  return snp::evidence_from_json(json);
}

}  // namespace

Result<snp::Evidence> read_evidence(const std::string& path) {
  constexpr std::size_t kMaxEvidenceBytes = std::size_t{1} << 20;
  const auto bytes = VHSM_TRY(snp::read_file(path, kMaxEvidenceBytes));
  const auto evidence = evidence_of(bytes);
  if (evidence.ok()) return evidence;
  Error error = evidence.error();
  const std::string member(error.subject.text());
  error.subject = member.empty() ? path : path + ": " + member;
  return error;
}

}  // namespace vhsm::cli
