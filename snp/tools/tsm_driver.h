// SPDX-License-Identifier: Apache-2.0
//
// The kernel's configfs-tsm, emulated: folders, what their files take and give, and when. It asks
// the emulated driver of /dev/sev-guest, with which it shares the guest's key, and an emulated SVSM
// where the guest does not run at VMPL 0. Knows nothing of how the calls arrive. Source: linux
// drivers/virt/coco/guest/report.c, fs/configfs/file.c, drivers/virt/coco/sev-guest.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "snp/emulated_firmware.h"
#include "snp/tools/guest_driver.h"

namespace vhsm::snp {

/// How configfs-tsm disappoints.
struct TsmFaults {
  std::uint32_t other_writes = 0;  ///< somebody else writes before each of the next so many reads
  std::uint32_t lost_stores = 0;   ///< the next so many blobs are dropped when they are closed
  std::string provider = "sev_guest";  ///< empty: no driver has registered
};

class TsmDriver {
 public:
  /// @param driver, firmware  outlive this object.
  TsmDriver(GuestDriver& driver, const EmulatedFirmware& firmware, TsmFaults faults);

  /// mkdir and rmdir below the root. @return 0 or the errno.
  int make(const std::string& entry);
  int remove(const std::string& entry);
  [[nodiscard]] std::size_t entries() const noexcept { return entries_.size(); }

  /// A file of an entry that somebody has open.
  struct OpenFile {
    std::string entry;
    std::string name;
    bool writes = false;
    std::optional<std::vector<std::uint8_t>> contents{};  ///< read: as of the first one
    std::size_t offset = 0;
  };
  /// @return 0 or the errno.
  int open(const std::string& entry, const std::string& name, bool writes, OpenFile& file);
  /// @param got  how much was read: 0 at the end.
  int read(OpenFile& file, std::span<std::uint8_t> into, std::size_t& got);
  /// Text is taken over now; a blob when it is closed.
  int write(OpenFile& file, std::span<const std::uint8_t> bytes);
  void close(OpenFile& file);

 private:
  struct Entry {
    std::uint64_t written = 0;  ///< `generation`
    std::uint64_t reported = 0;
    bool has_report = false;
    std::vector<std::uint8_t> inblob;
    unsigned level = 0;
    bool svsm = false;
    std::vector<std::uint8_t> outblob;
    std::vector<std::uint8_t> auxblob;
    std::vector<std::uint8_t> manifest;
  };
  struct File;
  static const File* find(std::string_view name);
  [[nodiscard]] bool has_svsm() const noexcept { return firmware_.vmpl() != 0; }

  int store(Entry& entry, std::string_view name, std::string_view text);
  int contents_of(Entry& entry, const File& file, std::vector<std::uint8_t>& into);
  int renew(Entry& entry);
  int ask_guest(Entry& entry, const ReportData& data);
  int ask_svsm(Entry& entry, const ReportData& data);

  GuestDriver& driver_;
  const EmulatedFirmware& firmware_;
  TsmFaults faults_;
  std::map<std::string, Entry> entries_;
};

}  // namespace vhsm::snp
