// SPDX-License-Identifier: Apache-2.0
#include "module/measured_settings.h"

#include <utility>

#include "base/deadline.h"
#include "snp/report.h"

namespace vhsm {
namespace {

/// What HOST_DATA is in a report that is made now.
Result<snp::HostData> host_data_of(snp::Platform& platform, TimePoint deadline) {
  if (platform.info().kind == "vtpm") {
    return fail(Errc::kUnsupported, "require_init_data needs reports of the guest's own device",
                "platform = vtpm");
  }
  const auto evidence = VHSM_TRY(platform.attest(snp::ReportData{}, deadline));
  const snp::UnverifiedReport report(evidence.report);
  return report.octets<snp::HostData, snp::field::kHostData>();
}

}  // namespace

Status take_init_data(Settings& settings, snp::Platform* platform) {
  if (settings.init_data.empty()) return {};
  if (platform == nullptr) {
    return fail(Errc::kNoPlatform, "require_init_data needs a report of this VM",
                settings.init_data);
  }
  const auto host_data = VHSM_TRY(host_data_of(*platform, Clock::now() + settings.fetch_timeout));
  const std::string toml = VHSM_TRY(named_text(settings, settings.init_data));
  auto documents = measured_documents(toml, host_data.value);
  if (!documents.ok()) return documents.error().about(settings.init_data);
  return apply_measured(settings, std::move(documents).value());
}

}  // namespace vhsm
