// SPDX-License-Identifier: Apache-2.0
//
// The allocator over the arena's pages: size classes for small objects, page runs for large ones.
// Whoever allocates or frees holds a slot (gate.h) and passes the slot's magazine, so the usual
// path takes no lock. Freed memory is wiped at once; allocated memory is zero.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vhsm::memory {

inline constexpr std::array<std::uint16_t, 14> kClassBytes{16,  32,  48,  64,  96,   128,  192,
                                                           256, 384, 512, 768, 1024, 1536, 2048};

/// How many free objects of a class a slot keeps at hand: at least what one signature has of them
/// at a time (P-256: 40 of up to 128 bytes).
constexpr std::size_t depth_of(std::size_t size_class) noexcept {
  if (kClassBytes[size_class] <= 128) return 64;
  return kClassBytes[size_class] <= 512 ? 24 : 8;
}

/// Free objects that one slot keeps at hand.
struct Magazine {
  struct Stack {
    std::array<void*, depth_of(0)> objects{};
    std::size_t count = 0;
  };
  struct Run {
    std::byte* start = nullptr;
    std::uint32_t pages = 0;
  };
  std::array<Stack, kClassBytes.size()> classes{};
  std::array<Run, 4> runs{};                  ///< short ones: an RSA signature needs two
  std::size_t oldest_run = 0;                 ///< gives way to the next
  std::atomic<std::int64_t> in_use_bytes{0};  ///< may be negative: others free what this one gave
};

/// How often threads met in the allocator.
struct LockCounters {
  std::uint64_t taken = 0;
  std::uint64_t contended = 0;  ///< of these: another thread held it
};

class Arena {
 public:
  /// Makes the first `pages` pages usable, or as many as there are to be had. Called with the lock.
  /// @return how many are usable now.
  using Extend = std::size_t (*)(std::size_t pages) noexcept;

  constexpr Arena() = default;

  /// Takes address space for `pages`, of which `extend` makes a growing part usable. `page_map` has
  /// one byte, `run_pages` one number for each page, both zero and in ordinary memory (the child of
  /// a fork inherits them).
  void adopt(std::span<std::byte> pages, std::span<std::uint8_t> page_map,
             std::span<std::uint32_t> run_pages, Extend extend) noexcept;

  [[nodiscard]] void* allocate(Magazine& magazine, std::size_t size) noexcept;
  void release(Magazine& magazine, void* pointer) noexcept;
  /// Bytes that the object at `pointer` can hold.
  [[nodiscard]] std::size_t usable_bytes(const void* pointer) const noexcept;

  /// In the child of a fork: fewer pages may be usable than were.
  void limit_to(std::size_t pages) noexcept { usable_pages_ = std::min(usable_pages_, pages); }
  /// Gives back what `magazine` keeps at hand.
  void flush(Magazine& magazine) noexcept;
  /// Makes pages of small objects that are all free available for other sizes.
  void compact(const Magazine& magazine) noexcept;

  [[nodiscard]] bool contains(const void* pointer) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    return address - reinterpret_cast<std::uintptr_t>(pages_.data()) < pages_.size();
  }
  [[nodiscard]] std::span<std::byte> pages() const noexcept { return pages_; }
  /// The pages up to the last one in use: what a fork has to copy. All behind them are zero.
  [[nodiscard]] std::span<std::byte> used_pages() const noexcept;
  [[nodiscard]] LockCounters lock_counters() const noexcept;
  /// Whether the lock is held by whoever works with `magazine`.
  [[nodiscard]] bool is_locked_by(const Magazine& magazine) const noexcept {
    return holder_.load(std::memory_order_relaxed) == &magazine;
  }

 private:
  class Lock;

  [[nodiscard]] static void* hand_out(Magazine& magazine, void* object, std::size_t bytes) noexcept;
  [[nodiscard]] void* allocate_run(Magazine& magazine, std::size_t pages) noexcept;
  void release_run(Magazine& magazine, void* pointer, std::size_t page) noexcept;
  [[nodiscard]] void* take_small(Magazine& magazine, std::size_t size_class) noexcept;
  void refill(Magazine& magazine, std::size_t size_class) noexcept;
  void spill(Magazine::Stack& stack, std::size_t size_class, std::size_t keep) noexcept;
  void carve(std::size_t size_class) noexcept;
  void count_free(std::size_t size_class) noexcept;
  void free_whole_pages(std::size_t size_class) noexcept;
  [[nodiscard]] void* take_run(std::size_t pages, std::uint8_t tag) noexcept;
  void free_run(std::size_t page, std::size_t pages) noexcept;
  [[nodiscard]] std::size_t page_of(const void* pointer) const noexcept;
  [[nodiscard]] std::size_t object_bytes(const void* pointer) const noexcept;

  std::span<std::byte> pages_;
  std::span<std::uint8_t> page_map_;                    // kFree, class + 1, kRun or kRunTail
  std::span<std::uint32_t> run_pages_;                  // length of the run that starts at a page
  std::array<void*, kClassBytes.size()> free_lists_{};  // linked through the objects' first word
  Extend extend_ = nullptr;
  std::size_t usable_pages_ = 0;
  std::size_t first_free_ = 0;  // no page before it is free
  std::atomic<const Magazine*> holder_{nullptr};
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> contended_{0};
};

}  // namespace vhsm::memory
