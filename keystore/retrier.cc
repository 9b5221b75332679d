// SPDX-License-Identifier: Apache-2.0
#include "keystore/retrier.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/breaker.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;
using TimePoint = steady_clock::time_point;

/// Of what may come soon.
constexpr std::chrono::milliseconds kShortPause{250};
constexpr std::size_t kMostWanted = 256;

/// What one fetch serves is one wish. Who asks for something else of the same name gets an answer
/// of his own.
struct ByWish {
  bool operator()(const KeyUri& a, const KeyUri& b) const noexcept { return of(a) < of(b); }

 private:
  using Wish = std::tuple<const KeyName&, bool, const std::optional<std::uint32_t>&>;
  static Wish of(const KeyUri& uri) noexcept { return {uri.name, uri.wants_secret(), uri.version}; }
};

/// What time alone does not cure, as long as nobody changes what is stored, or who may have it.
bool is_refusal(Errc code) noexcept {
  return takes_back(code) || code == Errc::kBadFormat || code == Errc::kUnsupported ||
         code == Errc::kPolicy;
}

/// Nobody is spared by a pause: it was not asked, or its source spares it.
bool may_come_soon(Errc code) noexcept {
  return code == Errc::kUnreachable || code == Errc::kInUse;
}

/// An exception (bad_alloc) is an outcome, too: others wait for one.
Result<Entry> bring(Shelf& shelf, const KeyUri& uri, TimePoint deadline) noexcept {
  try {
    return shelf.open(uri, deadline);
  } catch (...) {
    return fail(Errc::kOutOfMemory, "no memory to fetch the key", uri.name.path());
  }
}

}  // namespace

/// The keys that one process waits for.
class Retrier::Wanted {
 public:
  using Task = KeyUri;

  /// @errors kUnreachable: who asks for names that nobody has must not make us ask for ever more.
  Status add(const KeyUri& uri) {
    if (keys_.size() >= kMostWanted && gone(uri) && !forget_one()) {
      return fail(Errc::kUnreachable, "too many keys are being fetched", uri.name.uri());
    }
    keys_.try_emplace(uri);
    return {};
  }

  [[nodiscard]] bool empty() const noexcept { return keys_.empty(); }

  std::optional<KeyUri> take(TimePoint now) {
    const auto soonest = std::ranges::min_element(keys_, {}, &Wanted::when);
    if (soonest == keys_.end() || when(*soonest) > now) return std::nullopt;
    auto uri = std::optional(soonest->first);
    soonest->second.busy = true;
    return uri;
  }

  [[nodiscard]] std::optional<TimePoint> due() const {
    const auto soonest = std::ranges::min_element(keys_, {}, &Wanted::when);
    if (soonest == keys_.end() || soonest->second.busy) return std::nullopt;
    return soonest->second.due;
  }

  void settle(const KeyUri& uri, const std::optional<Error>& failure) {
    const auto key = keys_.find(uri);
    if (key == keys_.end()) return;
    if (!failure.has_value()) {
      keys_.erase(key);
    } else {
      postpone(key->second, *failure);
    }
  }

  /// Whether a key's first try has had an outcome.
  [[nodiscard]] bool settled(const KeyUri& uri) const {
    return gone(uri) || keys_.at(uri).reason.has_value();
  }

  /// Why it is not here yet; nothing when it is.
  [[nodiscard]] std::optional<Error> reason(const KeyUri& uri) const {
    if (gone(uri)) return std::nullopt;
    const auto& reason = keys_.at(uri).reason;
    if (reason.has_value()) return reason;
    return fail(Errc::kUnreachable, "the key is still being fetched", uri.name.uri());
  }

 private:
  struct Key {
    Breaker breaker = {};
    std::optional<Error> reason = {};  ///< of the last try
    TimePoint due = {};
    bool busy = false;  ///< a try is under way
  };
  using Keys = std::map<KeyUri, Key, ByWish>;

  static TimePoint when(const Keys::value_type& item) {
    return item.second.busy ? TimePoint::max() : item.second.due;
  }

  /// What nobody has gives way to what somebody may have.
  bool forget_one() {
    const auto refused = std::ranges::find_if(keys_, [](const auto& item) {
      const auto& reason = item.second.reason;
      return reason && is_refusal(reason->code);
    });
    if (refused == keys_.end()) return false;
    keys_.erase(refused);
    return true;
  }

  static void postpone(Key& key, const Error& failure) {
    const auto now = steady_clock::now();
    key.busy = false;
    key.reason = failure;
    key.due = now + kShortPause;
    if (may_come_soon(failure.code)) return;
    key.breaker.failed(failure, now, jitter(now));
    key.due = key.breaker.until();
  }

  [[nodiscard]] bool gone(const KeyUri& uri) const { return !keys_.contains(uri); }

  Keys keys_;
};

Retrier::Retrier(std::shared_ptr<Shelf> shelf, const Deadlines& deadlines) noexcept
    : shelf_(std::move(shelf)),
      load_wait_(deadlines.load_wait),
      fetch_timeout_(deadlines.fetch_timeout) {}

Retrier::~Retrier() = default;

void Retrier::attempt(Desk<Wanted>& desk, Shelf& shelf, const KeyUri& uri,
                      std::chrono::milliseconds patience) {
  const auto entry = bring(shelf, uri, steady_clock::now() + patience);
  const auto failure = entry.ok() ? std::nullopt : std::optional(entry.error());
  desk.with([&](Wanted& wanted) { wanted.settle(uri, failure); });
}

/// HAProxy's workers may not start threads (RLIMIT_NPROC is 0): there the caller makes the try that
/// is due, and others get the last reason meanwhile.
void Retrier::attempt_here(Desk<Wanted>& desk) {
  const auto uri = desk.with([](Wanted& wanted) { return wanted.take(steady_clock::now()); });
  if (uri.has_value()) attempt(desk, *shelf_, *uri, load_wait_);
}

Result<Entry> Retrier::open(const KeyUri& uri, std::chrono::milliseconds patience) {
  for (;;) {
    auto here = VHSM_TRY(shelf_->find(uri));
    if (here.has_value()) return *std::move(here);
    const auto desk = VHSM_TRY(worker_.desk());
    VHSM_TRY(desk->with([&](Wanted& wanted) { return wanted.add(uri); }));
    const bool has_thread =
        worker_.hire(desk, [shelf = shelf_, limit = fetch_timeout_](auto& own, const KeyUri& next) {
          attempt(own, *shelf, next, limit);
        });
    if (!has_thread) attempt_here(*desk);
    const auto reason = desk->wait(
        patience, [&](const Wanted& wanted) { return wanted.settled(uri); },
        [&](const Wanted& wanted) { return wanted.reason(uri); });
    if (reason.has_value()) return *reason;
  }
}

}  // namespace vhsm::keystore
