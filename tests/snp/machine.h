// SPDX-License-Identifier: Apache-2.0
//
// An emulated machine in the test's own process: the library interface to both of the kernel's
// faces.
#pragma once

#include <cerrno>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "snp/emulated_firmware.h"
#include "snp/pace.h"
#include "snp/tools/guest_driver.h"
#include "snp/tools/own_memory.h"
#include "snp/tools/tsm_driver.h"
#include "snp/tsm.h"
#include "tests/snp/support.h"

namespace vhsm::snp {

inline constexpr Pace::Limits kNoPace{std::chrono::seconds(0), 1};

/// A device that is the emulated driver, one request at a time.
class DriverDevice final : public GuestDevice {
 public:
  explicit DriverDevice(GuestDriver& driver) : driver_(driver) {}
  int ioctl(unsigned long code, GuestRequest& request) override {
    const std::lock_guard lock(mutex_);
    return driver_.ioctl(code, reinterpret_cast<std::uintptr_t>(&request), memory_);
  }

 private:
  GuestDriver& driver_;
  OwnMemory memory_;
  std::mutex mutex_;
};

/// A device whose host is busy until the test lets it go.
class StuckDevice final : public GuestDevice {
 public:
  explicit StuckDevice(std::shared_future<void> go) : go_(std::move(go)) {}
  int ioctl(unsigned long, GuestRequest&) override {
    go_.wait();
    return EINVAL;
  }

 private:
  std::shared_future<void> go_;
};

/// A folder that is the emulated configfs-tsm.
class DriverFolder final : public TsmFolder {
 public:
  explicit DriverFolder(TsmDriver& driver) : driver_(driver) {}

  /// From now on no entry can be made, for this errno.
  void refuse(int error) { refusal_ = error; }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

  int make(const std::string& entry) override;
  int remove(const std::string& entry) override;
  int write(const std::string& entry, const char* file,
            std::span<const std::uint8_t> bytes) override;
  int read(const std::string& entry, const char* file, std::size_t max_bytes,
           std::vector<std::uint8_t>& into) override;

 private:
  TsmDriver& driver_;
  std::mutex mutex_;
  int refusal_ = 0;
  std::vector<std::string> names_;
};

class Machine {
 public:
  /// @param change  of the shared emulator's state.
  explicit Machine(const std::function<void(nlohmann::json&)>& change, const Faults& faults = {},
                   const TsmFaults& tsm_faults = {});

  [[nodiscard]] std::unique_ptr<GuestDevice> device() {
    return std::make_unique<DriverDevice>(driver_);
  }
  [[nodiscard]] std::shared_ptr<DriverFolder> tsm_folder() { return folder_; }
  [[nodiscard]] const TsmDriver& tsm() const { return tsm_; }

 private:
  EmulatedFirmware firmware_;
  GuestDriver driver_;
  TsmDriver tsm_;
  std::shared_ptr<DriverFolder> folder_;
};

}  // namespace vhsm::snp
