// SPDX-License-Identifier: Apache-2.0
#include "tests/snp/machine.h"

#include <cerrno>

namespace vhsm::snp {
namespace {

EmulatedFirmware changed_firmware(const std::function<void(nlohmann::json&)>& change) {
  const TemporaryFolder folder;
  const std::string copy = folder.copy_of(VHSM_TEST_EMULATOR);
  change_emulator(copy, change);
  return EmulatedFirmware::open(copy).value();
}

}  // namespace

int DriverFolder::make(const std::string& entry) {
  const std::lock_guard lock(mutex_);
  names_.push_back(entry);
  return refusal_ != 0 ? refusal_ : driver_.make(entry);
}

int DriverFolder::remove(const std::string& entry) {
  const std::lock_guard lock(mutex_);
  return driver_.remove(entry);
}

int DriverFolder::write(const std::string& entry, const char* file,
                        std::span<const std::uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  TsmDriver::OpenFile opened;
  if (const int error = driver_.open(entry, file, true, opened)) return error;
  const int error = driver_.write(opened, bytes);
  driver_.close(opened);
  return error;
}

int DriverFolder::read(const std::string& entry, const char* file, std::size_t max_bytes,
                       std::vector<std::uint8_t>& into) {
  const std::lock_guard lock(mutex_);
  TsmDriver::OpenFile opened;
  if (const int error = driver_.open(entry, file, false, opened)) return error;
  into.resize(max_bytes + 1);
  std::size_t got = 0;
  if (const int error = driver_.read(opened, into, got)) return error;
  into.resize(got);
  return got > max_bytes ? EFBIG : 0;
}

Machine::Machine(const std::function<void(nlohmann::json&)>& change, const Faults& faults,
                 const TsmFaults& tsm_faults)
    : firmware_(changed_firmware(change)),
      driver_(firmware_, faults, [](std::chrono::seconds) {}),
      tsm_(driver_, firmware_, tsm_faults),
      folder_(std::make_shared<DriverFolder>(tsm_)) {}

}  // namespace vhsm::snp
