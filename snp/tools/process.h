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

/// What tells whether two descriptors are of one file.
struct FileId {
  dev_t device;
  ino_t number;
  friend bool operator==(const FileId&, const FileId&) = default;
};
[[nodiscard]] std::optional<FileId> file_id(int descriptor);

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
  /// Whether it has, for permissions on files, the rights of root or of the user who runs this.
  [[nodiscard]] bool is_owner() const;
  /// What its descriptor `number` is; nothing when it has none.
  [[nodiscard]] std::optional<FileId> open_file(int number) const;
  /// Whether its descriptor `number` is the same file as our `file`.
  [[nodiscard]] bool has_open(int number, int file) const;

 private:
  [[nodiscard]] std::optional<uid_t> file_user() const;
  [[nodiscard]] std::string entry(const std::string& name) const;

  pid_t thread_;
};

}  // namespace vhsm::snp
