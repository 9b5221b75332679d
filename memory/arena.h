// SPDX-License-Identifier: Apache-2.0
//
// The allocator over the arena's pages: size classes for small objects, page runs for large ones.
// Whoever allocates or frees holds a slot (gate.h) and passes the slot's magazine, so the usual
// path takes no lock. Freed memory is wiped at once; allocated memory is zero.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vhsm::memory {

inline constexpr std::array<std::uint16_t, 14> kClassBytes{16,  32,  48,  64,  96,   128,  192,
                                                           256, 384, 512, 768, 1024, 1536, 2048};
inline constexpr std::size_t kMagazineDepth = 16;

/// Free objects that one slot keeps at hand.
struct Magazine {
  struct Stack {
    std::array<void*, kMagazineDepth> objects{};
    std::size_t count = 0;
  };
  std::array<Stack, kClassBytes.size()> classes{};
  std::atomic<std::int64_t> in_use_bytes{0};  ///< may be negative: others free what this one gave
};

class Arena {
 public:
  constexpr Arena() = default;

  /// Takes the backed pages; `page_map` has one byte, `run_pages` one number for each page, both
  /// zero and in ordinary memory (the child of a fork inherits them).
  void adopt(std::span<std::byte> pages, std::span<std::uint8_t> page_map,
             std::span<std::uint32_t> run_pages) noexcept;

  [[nodiscard]] void* allocate(Magazine& magazine, std::size_t size) noexcept;
  void release(Magazine& magazine, void* pointer) noexcept;
  /// Bytes that the object at `pointer` can hold.
  [[nodiscard]] std::size_t usable_bytes(const void* pointer) const noexcept;

  [[nodiscard]] bool contains(const void* pointer) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    return address - reinterpret_cast<std::uintptr_t>(pages_.data()) < pages_.size();
  }
  [[nodiscard]] std::span<std::byte> pages() const noexcept { return pages_; }
  /// The pages up to the last one in use: what a fork has to copy. All behind them are zero.
  [[nodiscard]] std::span<std::byte> used_pages() const noexcept;

 private:
  class Lock;

  [[nodiscard]] void* allocate_run(Magazine& magazine, std::size_t size) noexcept;
  [[nodiscard]] void* take_small(Magazine::Stack& stack, std::size_t size_class) noexcept;
  void refill(Magazine::Stack& stack, std::size_t size_class) noexcept;
  void spill(Magazine::Stack& stack, std::size_t size_class) noexcept;
  void carve(std::size_t size_class) noexcept;
  [[nodiscard]] void* take_run(std::size_t pages, std::uint8_t tag) noexcept;
  [[nodiscard]] std::size_t page_of(const void* pointer) const noexcept;

  std::span<std::byte> pages_;
  std::span<std::uint8_t> page_map_;                    // kFree, class + 1, kRun or kRunTail
  std::span<std::uint32_t> run_pages_;                  // length of the run that starts at a page
  std::array<void*, kClassBytes.size()> free_lists_{};  // linked through the objects' first word
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace vhsm::memory
