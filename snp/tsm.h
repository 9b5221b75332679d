// SPDX-License-Identifier: Apache-2.0
//
// Reports by configfs-tsm: a folder that the caller makes, files in it that take the request and
// give the report, and a count of writes that tells whether somebody else wrote, too. Source: linux
// Documentation/ABI/testing/configfs-tsm-report; drivers/virt/coco/guest/report.c;
// fs/configfs/file.c.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "snp/pace.h"
#include "snp/platform.h"

namespace vhsm::snp {

inline constexpr const char* kTsmRoot = "/sys/kernel/config/tsm/report";
inline constexpr const char* kTsmProvider = "sev_guest";

namespace tsm_file {
inline constexpr const char* kInblob = "inblob";
inline constexpr const char* kOutblob = "outblob";
inline constexpr const char* kAuxblob = "auxblob";
inline constexpr const char* kProvider = "provider";
inline constexpr const char* kGeneration = "generation";
inline constexpr const char* kPrivlevel = "privlevel";
inline constexpr const char* kPrivlevelFloor = "privlevel_floor";
inline constexpr const char* kServiceProvider = "service_provider";
inline constexpr const char* kServiceGuid = "service_guid";
inline constexpr const char* kServiceManifestVersion = "service_manifest_version";
inline constexpr const char* kManifestblob = "manifestblob";
}  // namespace tsm_file

/// The folder kTsmRoot: the kernel's, or a fake in tests. Each call gives 0 or the errno.
/// Thread-safe.
class TsmFolder {
 public:
  TsmFolder() = default;
  TsmFolder(const TsmFolder&) = delete;
  TsmFolder& operator=(const TsmFolder&) = delete;
  virtual ~TsmFolder() = default;

  virtual int make(const std::string& entry) = 0;
  virtual int remove(const std::string& entry) = 0;
  /// In one write, and closed: the kernel takes over what is in a blob only then.
  virtual int write(const std::string& entry, const char* file,
                    std::span<const std::uint8_t> bytes) = 0;
  /// Afresh, whole. EFBIG when there is more than `max_bytes`.
  virtual int read(const std::string& entry, const char* file, std::size_t max_bytes,
                   std::vector<std::uint8_t>& into) = 0;
};

/// Whose report.
enum class TsmService : std::uint8_t {
  kNone,  ///< the guest's own, at its level
  kSvsm,  ///< SVSM's, at VMPL 0, with the manifest of its services
};

/// The kernel's folder at `root`.
/// @param vmpl  level to ask reports for; unset: the lowest that the kernel lets the guest ask for.
/// @errors kNoPlatform where there is none, or one of another technology; kIo when this user may
/// not
///         make folders there.
[[nodiscard]] Result<std::unique_ptr<Platform>> open_tsm(const std::string& root,
                                                         TsmService service,
                                                         std::optional<unsigned> vmpl);

/// The same over any folder.
[[nodiscard]] Result<std::unique_ptr<Platform>> make_tsm(std::shared_ptr<TsmFolder> folder,
                                                         TsmService service,
                                                         std::optional<unsigned> vmpl,
                                                         Pace::Limits pace);

}  // namespace vhsm::snp
