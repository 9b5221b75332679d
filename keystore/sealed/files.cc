// SPDX-License-Identifier: Apache-2.0
//
// Source: openat(2), renameat(2), fsync(2), and fcntl(2) for locks of open file descriptions.
#include "keystore/sealed/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

namespace vhsm::keystore::sealed {
namespace {

constexpr mode_t kFolderMode = S_IRWXU;
constexpr mode_t kFileMode = S_IRUSR | S_IWUSR;
constexpr mode_t kForOthers = S_IRWXG | S_IRWXO;
constexpr const char* kLockName = "lock";

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};

bool write_all(int file, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(file, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return true;
}

/// Of the open file description: threads that open it for themselves keep each other out, too.
bool set_lock(const Descriptor& file, short type) {
  struct flock whole {};
  whole.l_type = type;
  return ::fcntl(file.get(), F_OFD_SETLK, &whole) == 0;
}

class FolderFiles final : public Files {
 public:
  FolderFiles(std::string path, Descriptor folder, const struct stat& status) noexcept
      : path_(std::move(path)),
        folder_(std::move(folder)),
        owner_(status.st_uid),
        group_(status.st_gid) {}

  Result<Bytes> read(const std::string& name, std::size_t most) override {
    // A pipe must not block.
    constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    const Descriptor file(::openat(folder_.get(), name.c_str(), kFlags));
    if (!file.valid() && errno == ENOENT) {
      return fail(Errc::kMissing, "this file of the keystore is not there", place(name));
    }
    if (!file.valid()) return io_failure("this file cannot be opened", place(name), errno);
    const std::size_t size = VHSM_TRY(size_of(file, name, most));
    return read_whole(file, name, size);
  }

  Status write(const std::string& name, ByteView bytes) override {
    VHSM_TRY(remove(name));
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    const Descriptor file(::openat(folder_.get(), name.c_str(), kFlags, kFileMode));
    if (!file.valid()) return io_failure("this file cannot be made", place(name), errno);
    VHSM_TRY(give_to_owner(file, name));
    if (write_all(file.get(), bytes)) return {};
    return io_failure("this file cannot be written", place(name), errno);
  }

  Status sync(const std::string& name) override {
    const Descriptor file(::openat(folder_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.valid() && ::fsync(file.get()) == 0) return {};
    return io_failure("this file cannot be written to disk", place(name), errno);
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::renameat(folder_.get(), from.c_str(), folder_.get(), to.c_str()) == 0) return {};
    return io_failure("this file cannot be renamed", place(from), errno);
  }

  Status remove(const std::string& name) override {
    if (::unlinkat(folder_.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
    return io_failure("this file cannot be removed", place(name), errno);
  }

  Status sync_folder() override {
    // EINVAL: a file system that keeps names safe by itself or not at all.
    if (::fsync(folder_.get()) == 0 || errno == EINVAL) return {};
    return io_failure("the folder of keys cannot be written to disk", path_, errno);
  }

  Result<std::vector<std::string>> names() override {
    Descriptor again(::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, CloseFolder> folder(::fdopendir(again.get()));
    if (folder == nullptr) return io_failure("the folder of keys cannot be listed", path_, errno);
    static_cast<void>(again.release());
    std::vector<std::string> names;
    while (const dirent* const entry = ::readdir(folder.get())) {
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    return names;
  }

  Result<FolderLock> lock(std::chrono::milliseconds patience) override {
    constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    Descriptor file(::openat(folder_.get(), kLockName, kFlags, kFileMode));
    if (!file.valid()) return io_failure("this file cannot be opened", place(kLockName), errno);
    VHSM_TRY(give_to_owner(file, kLockName));
    const TimePoint deadline = Clock::now() + patience;
    while (!set_lock(file, F_WRLCK)) {
      if (Clock::now() >= deadline) {
        return fail(Errc::kInUse, "another process is changing the keystore", path_);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return FolderLock(std::move(file));
  }

 private:
  [[nodiscard]] std::string place(const std::string& name) const { return path_ + "/" + name; }

  Status give_to_owner(const Descriptor& file, const std::string& name) const {
    if (::geteuid() == owner_ || ::fchown(file.get(), owner_, group_) == 0) return {};
    return io_failure("this file cannot be given to the owner of its folder", place(name), errno);
  }

  [[nodiscard]] Result<std::size_t> size_of(const Descriptor& file, const std::string& name,
                                            std::size_t most) const {
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      return fail(Errc::kTampered, "this is no regular file", place(name));
    }
    if (status.st_uid != owner_ || (status.st_mode & kForOthers) != 0) {
      return fail(Errc::kBadConfig,
                  "this file must be its folder's owner's alone: chown, chmod 600", place(name));
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size <= most) return size;
    return fail(Errc::kTampered, "this file is too long", place(name));
  }

  [[nodiscard]] Result<Bytes> read_whole(const Descriptor& file, const std::string& name,
                                         std::size_t size) const {
    Bytes bytes(size);
    std::size_t have = 0;
    while (have < size) {
      const ssize_t got = ::read(file.get(), bytes.data() + have, size - have);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return fail(Errc::kIo, "this file cannot be read", place(name));
      have += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  std::string path_;
  Descriptor folder_;
  uid_t owner_;
  gid_t group_;
};

Status check_trust(const struct stat& status, const std::string& path) {
  if (::geteuid() != 0 && status.st_uid != ::geteuid()) {
    return fail(Errc::kBadConfig, "the folder of keys belongs to another user: chown it", path);
  }
  if ((status.st_mode & kForOthers) == 0) return {};
  return fail(Errc::kBadConfig, "the folder of keys is open to group or others: chmod 700", path);
}

}  // namespace

FolderLock::~FolderLock() {
  if (locked_.valid()) static_cast<void>(set_lock(locked_, F_UNLCK));
}

Result<std::unique_ptr<Files>> open_files(const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
  Descriptor folder = clear_of_streams(Descriptor(::open(path.c_str(), kFlags)));
  if (!folder.valid() && errno == ENOENT) {
    return fail(Errc::kIo, "there is no such folder of keys: make it with vhsm keystore init",
                path);
  }
  if (!folder.valid()) return io_failure("the folder of keys cannot be opened", path, errno);
  struct stat status {};
  if (::fstat(folder.get(), &status) != 0) {
    return io_failure("the folder of keys cannot be looked at", path, errno);
  }
  VHSM_TRY(check_trust(status, path));
  return std::unique_ptr<Files>(std::make_unique<FolderFiles>(path, std::move(folder), status));
}

Status make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), kFolderMode) == 0 || errno == EEXIST) return {};
  return io_failure("the folder of keys cannot be made", path, errno);
}

}  // namespace vhsm::keystore::sealed
