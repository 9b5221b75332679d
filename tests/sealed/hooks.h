// SPDX-License-Identifier: Apache-2.0
//
// Files and slots of a sealed folder that let a test do something at a step of theirs: what another
// thread or process does at just that moment.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/sealed/sealed_folder.h"

namespace vhsm::keystore::sealed {

/// The files of another; a test says of some calls what else they do.
class OtherFiles : public Files {
 public:
  explicit OtherFiles(std::unique_ptr<Files> real) : real_(std::move(real)) {}
  Result<Bytes> read(const std::string& name, std::size_t most) override {
    return real_->read(name, most);
  }
  Status write(const std::string& name, ByteView bytes) override {
    return real_->write(name, bytes);
  }
  Status sync(const std::string& name) override { return real_->sync(name); }
  Status rename(const std::string& from, const std::string& to) override {
    return real_->rename(from, to);
  }
  Status remove(const std::string& name) override { return real_->remove(name); }
  Status sync_folder() override { return real_->sync_folder(); }
  Result<std::vector<std::string>> names() override { return real_->names(); }
  Result<FolderLock> lock(std::chrono::milliseconds patience) override {
    return real_->lock(patience);
  }

 private:
  std::unique_ptr<Files> real_;
};

class HookedFiles final : public OtherFiles {
 public:
  struct Hooks {
    std::function<void()> before_head = [] {};  ///< is read
    std::function<void()> before_lock = [] {};
  };
  HookedFiles(std::unique_ptr<Files> real, Hooks hooks)
      : OtherFiles(std::move(real)), hooks_(std::move(hooks)) {}
  Result<Bytes> read(const std::string& name, std::size_t most) override {
    if (name == "head") hooks_.before_head();
    return OtherFiles::read(name, most);
  }
  Result<FolderLock> lock(std::chrono::milliseconds patience) override {
    hooks_.before_lock();
    return OtherFiles::lock(patience);
  }

 private:
  const Hooks hooks_;
};

class HookedKeys final : public SlotKeys {
 public:
  struct Hooks {
    std::function<void(bool opens)> at_key = [](bool /*opens*/) {};
    std::function<void()> after_platform_slot = [] {};
  };
  HookedKeys(const std::string& known, Hooks hooks) : keys_(known), hooks_(std::move(hooks)) {}
  Result<SecretBytes> key_for(const SlotTerms& terms, TimePoint deadline) override {
    auto key = keys_.key_for(terms, deadline);
    hooks_.at_key(key.ok());
    return key;
  }
  Result<NewSlot> platform_slot(TimePoint deadline) override {
    auto slot = keys_.platform_slot(deadline);
    hooks_.after_platform_slot();
    return slot;
  }

 private:
  TestKeys keys_;
  const Hooks hooks_;
};

/// Is opened once. Who waits goes on after a time that no run needs, so that a test never hangs.
class Gateway {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    opened_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    opened_.wait_for(lock, std::chrono::seconds(5), [&] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool is_open_ = false;
};

}  // namespace vhsm::keystore::sealed
