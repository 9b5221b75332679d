// SPDX-License-Identifier: Apache-2.0
#include "keystore/retrier.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <optional>
#include <utility>

#include "base/breaker.h"
#include "base/thread.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;

/// A source that cannot be reached spares itself; it may be asked often, and is back at once.
constexpr std::chrono::milliseconds kUnreachablePause{250};

std::uint8_t jitter(steady_clock::time_point now) {
  return static_cast<std::uint8_t>(now.time_since_epoch().count() / 1000);
}

}  // namespace

/// The keys that one process waits for.
class Retrier::Wanted {
 public:
  /// Another process's: its thread is not here, and its locks may be taken for ever.
  [[nodiscard]] bool ours() const noexcept { return generation_ == memory::generation(); }

  /// Adds a key and waits for the outcome of its first try.
  /// @param start  starts the thread; called when there is none.
  /// @return why it is not here yet; nothing when it is.
  template <class Start>
  std::optional<Error> want(const KeyUri& uri, Start&& start) {
    std::unique_lock lock(mutex_);
    keys_.try_emplace(uri.name, Key{uri, {}, {}, {}});
    changed_.notify_all();
    if (!at_work_ && !(at_work_ = start())) {
      return fail(Errc::kUnreachable, "no thread can be had to fetch the key", uri.name.uri());
    }
    changed_.wait_for(lock, kPatience, [&] { return gone(uri.name) || tried(uri.name); });
    if (gone(uri.name)) return std::nullopt;
    if (tried(uri.name)) return keys_.at(uri.name).reason;
    return fail(Errc::kUnreachable, "the key is still being fetched", uri.name.uri());
  }

  /// Waits until a try is due.
  /// @return nothing when the thread has to end: then somebody else starts the next.
  std::optional<KeyUri> next() {
    std::unique_lock lock(mutex_);
    while (!closed_ && !keys_.empty()) {
      const auto soonest =
          std::ranges::min_element(keys_, {}, [](const auto& item) { return item.second.due; });
      if (soonest->second.due <= steady_clock::now()) return soonest->second.uri;
      const auto due = soonest->second.due;  // the key may be gone when the wait ends
      changed_.wait_until(lock, due);
    }
    at_work_ = false;
    return std::nullopt;
  }

  void settle(const KeyName& name, const std::optional<Error>& failure) {
    const std::lock_guard lock(mutex_);
    if (!failure.has_value()) {
      keys_.erase(name);
    } else {
      postpone(keys_.at(name), *failure);
    }
    changed_.notify_all();
  }

  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  struct Key {
    KeyUri uri;
    Breaker breaker;
    std::optional<Error> reason;  ///< of the last try
    steady_clock::time_point due;
  };

  static void postpone(Key& key, const Error& failure) {
    const auto now = steady_clock::now();
    key.reason = failure;
    key.due = now + kUnreachablePause;
    if (failure.code == Errc::kUnreachable) return;
    key.breaker.failed(failure, now, jitter(now));
    key.due = key.breaker.until();
  }

  bool gone(const KeyName& name) const { return !keys_.contains(name); }
  bool tried(const KeyName& name) const { return keys_.at(name).reason.has_value(); }

  const std::uint64_t generation_ = memory::generation();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<KeyName, Key> keys_;
  bool at_work_ = false;
  bool closed_ = false;
};

Retrier::~Retrier() {
  if (wanted_ != nullptr && wanted_->ours()) wanted_->close();
}

/// A parent's is dropped here and never destroyed, as its thread and those who wait hold it too.
Result<std::shared_ptr<Retrier::Wanted>> Retrier::wanted() {
  return memory::run_protected([&]() -> Result<std::shared_ptr<Wanted>> {
    const std::lock_guard lock(mutex_);
    if (wanted_ == nullptr || !wanted_->ours()) wanted_ = std::make_shared<Wanted>();
    return wanted_;
  });
}

void Retrier::work(Wanted& wanted, Shelf& shelf, std::chrono::milliseconds fetch_timeout) {
  while (const auto uri = wanted.next()) {
    const auto entry = shelf.open(*uri, steady_clock::now() + fetch_timeout);
    wanted.settle(uri->name, entry.ok() ? std::nullopt : std::optional(entry.error()));
  }
}

Result<Entry> Retrier::open(const KeyUri& uri) {
  for (;;) {
    auto here = VHSM_TRY(shelf_->find(uri.name));
    if (here.has_value()) return *std::move(here);
    const auto wanted = VHSM_TRY(this->wanted());
    const auto reason = wanted->want(uri, [&] {
      return start_thread(
          [wanted, shelf = shelf_, timeout = fetch_timeout_] { work(*wanted, *shelf, timeout); });
    });
    if (reason.has_value()) return *reason;
  }
}

}  // namespace vhsm::keystore
