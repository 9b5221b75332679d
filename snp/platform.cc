// SPDX-License-Identifier: Apache-2.0
#include "snp/platform.h"

#include <unistd.h>

#include "snp/emulator.h"
#include "snp/report.h"
#include "snp/sev_guest.h"

namespace vhsm::snp {
namespace {

constexpr std::string_view kEmulatorPrefix = "emulator:";

Result<std::unique_ptr<Platform>> open_sev_guest(std::optional<unsigned> vmpl) {
  auto device = VHSM_TRY(open_guest_device(kSevGuestPath));
  const unsigned level = vmpl ? *vmpl : running_vmpl(kVmplPath);
  return std::unique_ptr<Platform>(std::make_unique<SevGuest>(std::move(device), level));
}

}  // namespace

Result<std::unique_ptr<Platform>> open_platform(std::string_view name,
                                                std::optional<unsigned> vmpl) {
  if (vmpl.has_value() && *vmpl > kMaxVmpl) {
    return fail(Errc::kBadConfig, "a VMPL is 0 to 3", "vmpl");
  }
  if (name == "none") return fail(Errc::kNoPlatform, "the configuration says: no platform", name);
  if (name == "auto" || name == "sev-guest") return open_sev_guest(vmpl);
  if (name.starts_with(kEmulatorPrefix) && name.size() > kEmulatorPrefix.size()) {
    return open_emulator(std::string(name.substr(kEmulatorPrefix.size())), vmpl);
  }
  return fail(Errc::kBadConfig, "platform is auto, sev-guest, emulator:DIR or none", name);
}

}  // namespace vhsm::snp
