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
constexpr std::size_t kMostWanted = 256;

}  // namespace

/// The keys that one process waits for.
class Retrier::Wanted {
 public:
  /// Another process's: its thread is not here, and its locks may be taken for ever.
  [[nodiscard]] bool ours() const noexcept { return generation_ == memory::generation(); }

  /// @errors kUnreachable: who asks for names that nobody has must not make us ask for ever more.
  Status add(const KeyUri& uri) {
    const std::lock_guard lock(mutex_);
    if (keys_.size() >= kMostWanted && gone(uri.name) && !forget_one()) {
      return fail(Errc::kUnreachable, "too many keys are being fetched", uri.name.uri());
    }
    keys_.try_emplace(uri.name, Key{uri, {}, {}, {}});
    changed_.notify_all();
    return {};
  }

  /// @return whether nobody is at work; then the caller is, until next() or rest().
  bool hire() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(at_work_, true);
  }
  void rest() {
    const std::lock_guard lock(mutex_);
    at_work_ = false;
  }

  /// Waits for the outcome of a key's first try.
  /// @return why it is not here yet; nothing when it is.
  std::optional<Error> outcome(const KeyName& name, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return gone(name) || tried(name); });
    if (gone(name)) return std::nullopt;
    if (tried(name)) return keys_.at(name).reason;
    return fail(Errc::kUnreachable, "the key is still being fetched", name.uri());
  }

  /// A key for which a try is due now.
  std::optional<KeyUri> due() {
    const std::lock_guard lock(mutex_);
    const auto soonest = this->soonest();
    if (soonest == keys_.end() || soonest->second.due > steady_clock::now()) return std::nullopt;
    return soonest->second.uri;
  }

  /// Waits until a try is due.
  /// @return nothing when the thread has to end: then somebody else starts the next.
  std::optional<KeyUri> next() {
    std::unique_lock lock(mutex_);
    while (!closed_ && !keys_.empty()) {
      const auto soonest = this->soonest();
      if (soonest->second.due <= steady_clock::now()) return soonest->second.uri;
      const auto due = soonest->second.due;  // the key may be gone when the wait ends
      changed_.wait_until(lock, due);
    }
    at_work_ = false;
    return std::nullopt;
  }

  void settle(const KeyName& name, const std::optional<Error>& failure) {
    const std::lock_guard lock(mutex_);
    const auto key = keys_.find(name);
    if (key != keys_.end() && failure.has_value()) postpone(key->second, *failure);
    if (key != keys_.end() && !failure.has_value()) keys_.erase(key);
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

  /// A name that nobody has gives way to one that somebody may have.
  bool forget_one() {
    const auto refused = std::ranges::find_if(keys_, [](const auto& item) {
      const auto& reason = item.second.reason;
      return reason && (reason->code == Errc::kMissing || reason->code == Errc::kDenied);
    });
    if (refused == keys_.end()) return false;
    keys_.erase(refused);
    return true;
  }

  static void postpone(Key& key, const Error& failure) {
    const auto now = steady_clock::now();
    key.reason = failure;
    key.due = now + kUnreachablePause;
    if (failure.code == Errc::kUnreachable) return;
    key.breaker.failed(failure, now, jitter(now));
    key.due = key.breaker.until();
  }

  [[nodiscard]] std::map<KeyName, Key>::const_iterator soonest() const {
    return std::ranges::min_element(keys_, {}, [](const auto& item) { return item.second.due; });
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

void Retrier::attempt(Wanted& wanted, Shelf& shelf, const KeyUri& uri,
                      std::chrono::milliseconds patience) {
  const auto entry = shelf.open(uri, steady_clock::now() + patience);
  wanted.settle(uri.name, entry.ok() ? std::nullopt : std::optional(entry.error()));
}

/// HAProxy's workers may not start threads (RLIMIT_NPROC is 0): there the caller makes the try that
/// is due, and others get the last reason meanwhile.
void Retrier::attempt_here(Wanted& wanted) {
  if (const auto uri = wanted.due()) attempt(wanted, *shelf_, *uri, load_wait_);
  wanted.rest();
}

Result<Entry> Retrier::open(const KeyUri& uri, std::chrono::milliseconds patience) {
  for (;;) {
    auto here = VHSM_TRY(shelf_->find(uri));
    if (here.has_value()) return *std::move(here);
    const auto wanted = VHSM_TRY(this->wanted());
    VHSM_TRY(wanted->add(uri));
    if (wanted->hire()) {
      const bool started = start_thread([wanted, shelf = shelf_, limit = fetch_timeout_] {
        while (const auto next = wanted->next()) attempt(*wanted, *shelf, *next, limit);
      });
      if (!started) attempt_here(*wanted);
    }
    const auto reason = wanted->outcome(uri.name, patience);
    if (reason.has_value()) return *reason;
  }
}

}  // namespace vhsm::keystore
