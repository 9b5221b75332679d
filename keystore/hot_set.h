// SPDX-License-Identifier: Apache-2.0
//
// Which keys lie in protected memory in the clear. Per process, as protected memory is: it has no
// destructor and outlives every provider. Its lock is held inside scopes only, which a fork waits
// for, so a child never finds it taken.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <type_traits>
#include <utility>

#include "base/result.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {

/// Something that can be in the set. Members are linked through themselves, so that being one
/// allocates nothing.
class HotMember {
 public:
  HotMember() = default;
  HotMember(const HotMember&) = delete;
  HotMember& operator=(const HotMember&) = delete;
  virtual ~HotMember() = default;

  [[nodiscard]] bool hot() const noexcept { return warmth_.load() != Warmth::kCold; }

 protected:
  /// Marks it recently used. Writes only where that is news: threads that use one key must not
  /// take its cache line from each other.
  void touch() noexcept {
    if (warmth_.load(std::memory_order_relaxed) != Warmth::kIdle) return;
    Warmth idle = Warmth::kIdle;
    warmth_.compare_exchange_strong(idle, Warmth::kUsed, std::memory_order_relaxed);
  }

 private:
  friend class HotSet;
  enum class Warmth : std::uint8_t {
    kCold,  ///< not in the set
    kIdle,  ///< not used since the hand passed
    kUsed,
  };

  /// Frees what is in the clear, unless it is busy: then it is not cold either. In a scope, with
  /// the set locked; hot() is false already.
  /// @return false when it is busy.
  virtual bool shield() noexcept = 0;

  std::atomic<Warmth> warmth_{Warmth::kCold};
  HotMember* next_ = nullptr;
  HotMember* previous_ = nullptr;
};

/// A moment's numbers; the last two only grow.
struct HotSetCounters {
  std::uint64_t hot = 0;           ///< keys in the clear
  std::uint64_t shielded = 0;      ///< keys that are ciphertext only
  std::uint64_t unshieldings = 0;  ///< times that a shielded key was needed
  std::uint64_t evictions = 0;     ///< times that a hot key had to go
};

/// A ring with a clock's hand: it passes by what was used since it came last, and takes the rest.
/// All but counters() runs inside scopes.
class HotSet {
 public:
  constexpr HotSet() = default;
  HotSet(const HotSet&) = delete;
  HotSet& operator=(const HotSet&) = delete;

  void add(HotMember& member) noexcept;
  /// It is cold from now on, also when it was not in.
  void remove(HotMember& member) noexcept;

  /// Evicts until keys leave half of protected memory to the operations. Cheap when they do. What
  /// operations hold cannot be evicted: where it takes three quarters, nothing new is begun, so
  /// that those under way can end.
  /// @errors kMemoryLimit.
  Status make_room() noexcept;
  /// Evicts up to `most` members. @return how many.
  std::size_t evict(std::size_t most) noexcept;

  void count_key(bool comes) noexcept;
  void count_unshielding() noexcept { unshieldings_.fetch_add(1, std::memory_order_relaxed); }
  /// Any thread, in a scope or outside.
  [[nodiscard]] HotSetCounters counters() const noexcept;

 private:
  bool evict_one() noexcept;
  [[nodiscard]] bool keys_fill(std::size_t quarters) noexcept;
  void link(HotMember& member) noexcept;
  void unlink(HotMember& member) noexcept;

  std::mutex mutex_;
  HotMember* hand_ = nullptr;  ///< the next to be looked at
  std::atomic<std::size_t> size_{0};
  std::atomic<std::size_t> floor_bytes_{0};  ///< in use before the first key
  std::atomic<std::uint64_t> keys_{0};
  std::atomic<std::uint64_t> unshieldings_{0};
  std::atomic<std::uint64_t> evictions_{0};
};

[[nodiscard]] HotSet& hot_set() noexcept;

/// Runs `body` in a scope; where it finds protected memory full, it runs once more after cold keys
/// have made room. So `body` must be something that can be done again.
template <class Body>
std::invoke_result_t<Body&> run_with_room(Body&& body) {
  // What a few keys leave lies in pieces among what others have: all but the busiest go.
  constexpr std::size_t kMany = 1000;
  auto answer = memory::run_protected(body);
  if (answer.ok() || answer.error().code != Errc::kMemoryLimit) return answer;
  static_cast<void>(memory::run_protected([]() -> Status {
    hot_set().evict(kMany);
    return {};
  }));
  return memory::run_protected(body);
}

}  // namespace vhsm::keystore
