// SPDX-License-Identifier: Apache-2.0
//
// The files of a sealed folder, as far as its code needs them: so few calls that a test can stand
// in their place, end the process at each of them, and lose what was not written to disk.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "keystore/sealed/bytes.h"

namespace vhsm::keystore::sealed {

/// Of a folder. It ends here even where a child of a fork has a copy of the descriptor.
class Lock {
 public:
  Lock() = default;
  explicit Lock(Descriptor file) noexcept : file_(std::move(file)) {}
  Lock(Lock&&) = default;
  Lock& operator=(Lock&&) = delete;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock();

 private:
  Descriptor file_;
};

/// Thread-safe. Names have no slash.
class Files {
 public:
  Files() = default;
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  virtual ~Files() = default;

  /// @errors kMissing when it is not there; kIo; kTampered when it is longer than `most` bytes.
  virtual Result<Bytes> read(const std::string& name, std::size_t most) = 0;
  /// A new file in the place of any that is there; lasts from sync() on.
  virtual Status write(const std::string& name, ByteView bytes) = 0;
  /// What `name` holds is on the disk.
  virtual Status sync(const std::string& name) = 0;
  /// `to` is the old file or the new one at every moment.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// Not being there is success.
  virtual Status remove(const std::string& name) = 0;
  /// Names that were made, changed and removed are so on the disk.
  virtual Status sync_folder() = 0;
  virtual Result<std::vector<std::string>> names() = 0;
  /// @errors kInUse when another thread or process has it for longer than `patience`.
  virtual Result<Lock> lock(std::chrono::milliseconds patience) = 0;
};

/// The folder at `path`, which stays reachable after setuid and chroot as far as the user may use
/// it. Who can write there can take keys away, and who can read there has ciphertext to work on: so
/// it must be the user's own (or root opens it, and what it makes is the owner's), mode 0700.
/// @errors kBadConfig for another owner or mode; kIo, also when there is none.
Result<std::unique_ptr<Files>> open_files(const std::string& path);

/// Makes the folder, unless it is there.  @errors kIo.
Status make_folder(const std::string& path);

}  // namespace vhsm::keystore::sealed
