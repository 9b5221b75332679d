// SPDX-License-Identifier: Apache-2.0
//
// Another process, seen from the emulator: its memory, files and user.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "snp/tools/guest_driver.h"

namespace vhsm::snp {

/// A thread of another process; everything here may fail at any time, as it may end.
class Process final : public UserMemory {
 public:
  explicit Process(pid_t thread) : thread_(thread) {}

  bool read(std::uint64_t address, std::span<std::uint8_t> bytes) override;
  bool write(std::uint64_t address, std::span<const std::uint8_t> bytes) override;

  /// A path at `address`, as it was passed.
  [[nodiscard]] std::optional<std::string> read_path(std::uint64_t address);
  /// `path` from the root of this program, by names alone; links are not followed.
  /// @param folder  the descriptor that a relative path starts from, or AT_FDCWD.
  [[nodiscard]] std::string resolve(const std::string& path, int folder) const;
  /// Who it is for permissions on files.
  [[nodiscard]] std::optional<uid_t> file_user() const;
  /// Whether its descriptor `number` is the same file as our `file`.
  [[nodiscard]] bool has_open(int number, int file) const;

 private:
  [[nodiscard]] std::string entry(const std::string& name) const;

  pid_t thread_;
};

}  // namespace vhsm::snp
