// SPDX-License-Identifier: Apache-2.0
//
// The memory of this process as an emulated kernel sees its caller's.
#pragma once

#include <cstring>

#include "snp/tools/guest_driver.h"

namespace vhsm::snp {

class OwnMemory final : public UserMemory {
 public:
  bool read(std::uint64_t address, std::span<std::uint8_t> bytes) override {
    std::memcpy(bytes.data(), reinterpret_cast<const void*>(address), bytes.size());
    return true;
  }
  bool write(std::uint64_t address, std::span<const std::uint8_t> bytes) override {
    std::memcpy(reinterpret_cast<void*>(address), bytes.data(), bytes.size());
    return true;
  }
};

}  // namespace vhsm::snp
