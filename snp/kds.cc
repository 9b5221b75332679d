// SPDX-License-Identifier: Apache-2.0
#include "snp/kds.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <span>

#include "snp/files.h"
#include "snp/hex.h"
#include "snp/revocation.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

using std::chrono::seconds;

constexpr std::size_t kTurinChipBytes = 8;
constexpr unsigned kOk = 200;
constexpr unsigned kTooManyRequests = 429;
constexpr mode_t kFileMode = 0644;

struct Level {
  const char* name;
  std::uint8_t Tcb::*member;
};
constexpr Level kLevels[] = {{"fmcSPL", &Tcb::fmc},
                             {"blSPL", &Tcb::bootloader},
                             {"teeSPL", &Tcb::tee},
                             {"snpSPL", &Tcb::snp},
                             {"ucodeSPL", &Tcb::microcode}};

/// Without the FMC, but for Turin.
std::span<const Level> levels_of(Product product) {
  const std::span<const Level> all(kLevels);
  return product == Product::kTurin ? all : all.subspan(1);
}

std::string chip_of(const UnverifiedReport& report, Product product) {
  const std::span<const std::uint8_t> chip = report.bytes<field::kChipId>();
  return to_hex(product == Product::kTurin ? chip.first(kTurinChipBytes) : chip);
}

/// As the service's paths have it.
std::string signer_of(const UnverifiedReport& report) {
  const auto info = report.number<field::kKeyInfo>() & key_bit::kSigningKeyMask;
  return info == key_bit::kSignedByVlek ? "vlek" : "vcek";
}

std::string name_of(Product product) { return std::string(product_name(product)); }

Error refused(Literal what, unsigned status, const std::string& target) {
  return fail(Errc::kUnreachable, what, std::to_string(status) + " for " + target)
      .cured_by("try again later; check --kds and which processor this is");
}

/// Asks again for as long as the service wants to be waited for, and patience lasts.
Result<std::string> get_patiently(const KdsAccess& access, const std::string& target) {
  constexpr seconds kDefaultDelay{20};
  seconds left = access.patience;
  for (;;) {
    KdsAnswer answer = VHSM_TRY(access.get(target));
    if (answer.status == kOk) return std::move(answer.body);
    if (answer.status != kTooManyRequests) {
      return refused("AMD's certificate service refuses", answer.status, target);
    }
    const seconds delay = std::max(answer.retry_after.value_or(kDefaultDelay), seconds(1));
    if (delay > left) {
      return refused("AMD's certificate service asks to wait for too long", answer.status, target);
    }
    access.wait(delay);
    left -= delay;
  }
}

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

bool is_leaf(std::span<const std::uint8_t> data) {
  const auto parsed = parse_certificates(data);
  return parsed.size() == 1 && kind_by_name(common_name(parsed[0].get())) == CertificateKind::kVcek;
}

bool is_list(std::span<const std::uint8_t> data) { return parse_crl(data) != nullptr; }

/// A file of the folder, and what belongs into it.
struct Wanted {
  std::string file;
  std::string target;
  bool (*is_right)(std::span<const std::uint8_t> data);
  bool changes;  ///< what is there already is not enough
};

/// In one step, so that a reader never sees half a file.
Status replace(const std::string& path, std::span<const std::uint8_t> data) {
  const std::string fresh = path + "." + std::to_string(::getpid()) + ".new";
  VHSM_TRY(write_new_file(fresh, data, kFileMode));
  if (std::rename(fresh.c_str(), path.c_str()) == 0) return {};
  ::unlink(fresh.c_str());
  return fail(Errc::kIo, "this file cannot be replaced", path);
}

Status fetch(const Wanted& wanted, const std::string& folder, const KdsAccess& access) {
  const std::string path = folder + "/" + wanted.file;
  if (!wanted.changes) {
    const auto cached = read_file(path, kMaxCertificateBytes);
    if (cached.ok() && wanted.is_right(cached.value())) return {};
  }
  const std::string body = VHSM_TRY(get_patiently(access, wanted.target));
  if (!wanted.is_right(bytes_of(body))) {
    return fail(Errc::kForged, "AMD's certificate service answers something else", wanted.target);
  }
  return replace(path, bytes_of(body));
}

}  // namespace

Result<std::string> vcek_target(const UnverifiedReport& report, Product product) {
  const auto info = report.number<field::kKeyInfo>() & key_bit::kSigningKeyMask;
  if (info != key_bit::kSignedByVcek) {
    return fail(Errc::kUnsupported,
                "the report is not signed by a chip's own key: its cloud provider has the "
                "certificate");
  }
  const auto chip = report.bytes<field::kChipId>();
  if (std::ranges::all_of(chip, [](std::uint8_t byte) { return byte == 0; })) {
    return fail(Errc::kUnsupported,
                "the host has masked CHIP_ID, so nobody can find its certificate");
  }
  const Tcb tcb = VHSM_TRY(decode_tcb(product, report.bytes<field::kReportedTcb>()));
  std::string target = "/vcek/v1/" + name_of(product) + "/" + chip_of(report, product);
  char separator = '?';
  for (const Level& level : levels_of(product)) {
    target += separator + (level.name + ("=" + std::to_string(tcb.*(level.member))));
    separator = '&';
  }
  return target;
}

std::string crl_target(const UnverifiedReport& report, Product product) {
  return "/" + signer_of(report) + "/v1/" + name_of(product) + "/crl";
}

Result<std::vector<std::string>> fetch_certificates(const UnverifiedReport& report, Product product,
                                                    const std::string& folder,
                                                    const KdsAccess& access) {
  std::vector<Wanted> all{{name_of(product) + "-" + signer_of(report) + ".crl",
                           crl_target(report, product), is_list, true}};
  if (signer_of(report) == "vcek") {
    const std::string target = VHSM_TRY(vcek_target(report, product));
    const std::string tcb = to_hex(report.bytes<field::kReportedTcb>());
    all.push_back({"vcek-" + name_of(product) + "-" + chip_of(report, product) + "-" + tcb + ".der",
                   target, is_leaf, false});
  }
  std::vector<std::string> files;
  for (const Wanted& one : all) {
    VHSM_TRY(fetch(one, folder, access));
    files.push_back(one.file);
  }
  return files;
}

}  // namespace vhsm::snp
