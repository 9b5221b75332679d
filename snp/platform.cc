// SPDX-License-Identifier: Apache-2.0
#include "snp/platform.h"

#include <array>

#include "snp/agent.h"
#include "snp/emulator.h"
#include "snp/report.h"
#include "snp/sev_guest.h"
#include "snp/tsm.h"
#include "snp/vtpm.h"

namespace vhsm::snp {
namespace {

using Opened = Result<std::unique_ptr<Platform>>;
using Vmpl = std::optional<unsigned>;

constexpr std::string_view kEmulatorPrefix = "emulator:";
constexpr std::string_view kAgentPrefix = "agent:";
constexpr std::string_view kVtpmPrefix = "vtpm:";

/// A platform with its reason.
class Chosen final : public Platform {
 public:
  Chosen(std::unique_ptr<Platform> platform, const char* reason)
      : platform_(std::move(platform)), reason_(reason) {}

  [[nodiscard]] PlatformInfo info() const override {
    PlatformInfo info = platform_->info();
    info.reason = reason_;
    return info;
  }
  Result<Evidence> attest(const ReportData& data, TimePoint deadline) override {
    return platform_->attest(data, deadline);
  }
  Result<SecretBytes> derive_key(const DerivedKeyRequest& request, TimePoint deadline) override {
    return platform_->derive_key(request, deadline);
  }

 private:
  std::unique_ptr<Platform> platform_;
  const char* reason_;
};

Opened open_sev_guest(Vmpl vmpl) {
  auto device = VHSM_TRY(open_guest_device(kSevGuestPath));
  const unsigned level = vmpl ? *vmpl : running_vmpl(kVmplPath);
  return std::unique_ptr<Platform>(std::make_unique<SevGuest>(std::move(device), level));
}

Opened open_tsm_reports(Vmpl vmpl) { return open_tsm(kTsmRoot, TsmService::kNone, vmpl); }
Opened open_svsm(Vmpl vmpl) { return open_tsm(kTsmRoot, TsmService::kSvsm, vmpl); }
Opened open_azure(Vmpl) { return open_vtpm(); }
Opened open_usual_agent(Vmpl) { return open_agent(std::string(kAgentSocket)); }

struct Kind {
  std::string_view name;
  Opened (*open)(Vmpl vmpl);
  const char* reason;  ///< why auto takes it when it is here; null: auto does not
};
/// In the order in which auto looks for them.
constexpr std::array<Kind, 5> kKinds{{
    {"sev-guest", open_sev_guest, "/dev/sev-guest is here"},
    {"tsm", open_tsm_reports, "no /dev/sev-guest is here, but configfs-tsm of an SEV-SNP guest"},
    {"vtpm", open_azure, "no guest device is here, but the vTPM of an Azure VM"},
    {"svsm", open_svsm, nullptr},
    {"agent", open_usual_agent, nullptr},
}};

/// The first kind that is here. One that is, but cannot be opened, is an error: the next would be a
/// surprise.
Opened open_first(Vmpl vmpl) {
  for (const Kind& kind : kKinds) {
    if (kind.reason == nullptr) continue;
    auto opened = kind.open(vmpl);
    if (opened.ok()) {
      return std::unique_ptr<Platform>(
          std::make_unique<Chosen>(std::move(opened).value(), kind.reason));
    }
    if (opened.error().code != Errc::kNoPlatform) return opened.error();
  }
  return fail(
      Errc::kNoPlatform,
      "neither /dev/sev-guest nor configfs-tsm of an SEV-SNP guest nor an Azure VM's vTPM is "
      "here",
      "auto");
}

bool has_name(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) && text.size() > prefix.size();
}

}  // namespace

Result<SecretBytes> Platform::derive_key(const DerivedKeyRequest&, TimePoint) {
  return fail(Errc::kUnsupported, "this platform derives no keys; /dev/sev-guest does",
              info().kind);
}

Opened open_platform(std::string_view name, Vmpl vmpl) {
  if (vmpl.has_value() && *vmpl > kMaxVmpl) {
    return fail(Errc::kBadConfig, "a VMPL is 0 to 3", "vmpl");
  }
  if (name == "none") return fail(Errc::kNoPlatform, "the configuration says: no platform", name);
  if (name == "auto") return open_first(vmpl);
  for (const Kind& kind : kKinds) {
    if (kind.name == name) return kind.open(vmpl);
  }
  if (has_name(name, kEmulatorPrefix)) {
    return open_emulator(std::string(name.substr(kEmulatorPrefix.size())), vmpl);
  }
  if (has_name(name, kAgentPrefix)) {
    return open_agent(std::string(name.substr(kAgentPrefix.size())));
  }
  if (has_name(name, kVtpmPrefix)) {
    return open_vtpm_file(std::string(name.substr(kVtpmPrefix.size())));
  }
  return fail(
      Errc::kBadConfig,
      "platform is auto, sev-guest, tsm, svsm, vtpm, vtpm:FILE, agent, agent:PATH, emulator:DIR "
      "or none",
      name);
}

}  // namespace vhsm::snp
