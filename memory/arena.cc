// SPDX-License-Identifier: Apache-2.0
#include "memory/arena.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "memory/checks.h"
#include "memory/pages.h"

namespace vhsm::memory {
namespace {

constexpr std::uint8_t kFree = 0;
constexpr std::uint8_t kRun = 0xFE;
constexpr std::uint8_t kRunTail = 0xFF;

constexpr std::size_t kMostPagesAtHand = 4;  // of a run that a magazine keeps

constexpr std::size_t kLargestClass = kClassBytes.back();
constexpr std::size_t kGranule = kClassBytes.front();  // all classes are multiples of it

/// Class of each number of granules: the look-up is on the path of every allocation.
constexpr auto kClassOfGranules = [] {
  std::array<std::uint8_t, kLargestClass / kGranule + 1> table{};
  std::uint8_t size_class = 0;
  for (std::size_t granules = 0; granules < table.size(); ++granules) {
    while (kClassBytes[size_class] < granules * kGranule) ++size_class;
    table[granules] = size_class;
  }
  return table;
}();

/// Index into kClassBytes for a size of at most kLargestClass.
std::size_t class_of(std::size_t size) noexcept {
  return kClassOfGranules[(size + kGranule - 1) / kGranule];
}

/// The slot's owner alone writes its counter, so no locked instruction is needed.
void count(Magazine& magazine, std::int64_t bytes) noexcept {
  const auto now = magazine.in_use_bytes.load(std::memory_order_relaxed);
  magazine.in_use_bytes.store(now + bytes, std::memory_order_relaxed);
}

}  // namespace

/// A spin lock: held for some dozen instructions (or while the arena grows), and never across a
/// fork (the forking thread waits until no slot is taken).
class Arena::Lock {
 public:
  Lock(Arena& arena, const Magazine& magazine) noexcept : arena_(arena) {
    if (!try_take(magazine)) {
      arena_.contended_.fetch_add(1, std::memory_order_relaxed);
      while (!try_take(magazine)) __builtin_ia32_pause();
    }
    arena_.taken_.store(arena_.taken_.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
  }
  ~Lock() { arena_.holder_.store(nullptr, std::memory_order_release); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  bool try_take(const Magazine& magazine) noexcept {
    const Magazine* nobody = nullptr;
    return arena_.holder_.load(std::memory_order_relaxed) == nullptr &&
           arena_.holder_.compare_exchange_weak(nobody, &magazine, std::memory_order_acquire);
  }

  Arena& arena_;
};

void Arena::adopt(std::span<std::byte> pages, std::span<std::uint8_t> page_map,
                  std::span<std::uint32_t> run_pages, Extend extend) noexcept {
  pages_ = pages;
  page_map_ = page_map;
  run_pages_ = run_pages;
  extend_ = extend;
  checks::poison(pages.data(), pages.size());
}

std::span<std::byte> Arena::used_pages() const noexcept {
  const auto last = std::find_if(page_map_.rbegin(), page_map_.rend(),
                                 [](std::uint8_t tag) { return tag != kFree; });
  return pages_.first(static_cast<std::size_t>(page_map_.rend() - last) * kPageBytes);
}

LockCounters Arena::lock_counters() const noexcept {
  return {taken_.load(std::memory_order_relaxed), contended_.load(std::memory_order_relaxed)};
}

std::size_t Arena::page_of(const void* pointer) const noexcept {
  return static_cast<std::size_t>(static_cast<const std::byte*>(pointer) - pages_.data()) /
         kPageBytes;
}

std::size_t Arena::object_bytes(const void* pointer) const noexcept {
  const std::size_t page = page_of(pointer);
  const std::uint8_t tag = page_map_[page];
  if (tag == kRun) return run_pages_[page] * kPageBytes;
  // Not one of ours: the heap of the host is damaged, and going on could leak a key.
  if (tag == kFree || tag == kRunTail) std::abort();
  return kClassBytes[tag - 1U];
}

std::size_t Arena::usable_bytes(const void* pointer) const noexcept {
  return object_bytes(pointer) - checks::kCanaryBytes;
}

void* Arena::allocate(Magazine& magazine, std::size_t size) noexcept {
  if (size > pages_.size()) return nullptr;
  size += checks::kCanaryBytes;
  if (size <= kLargestClass) {
    const std::size_t size_class = class_of(size);
    return hand_out(magazine, take_small(magazine, size_class), kClassBytes[size_class]);
  }
  const std::size_t pages = (size + kPageBytes - 1) / kPageBytes;
  return hand_out(magazine, allocate_run(magazine, pages), pages * kPageBytes);
}

void* Arena::hand_out(Magazine& magazine, void* object, std::size_t bytes) noexcept {
  if (object == nullptr) return nullptr;
  count(magazine, static_cast<std::int64_t>(bytes));
  checks::place_canary(object, bytes);
  checks::unpoison(object, bytes - checks::kCanaryBytes);
  return object;
}

void* Arena::allocate_run(Magazine& magazine, std::size_t pages) noexcept {
  for (Magazine::Run& run : magazine.runs) {
    if (run.pages == pages) return std::exchange(run, {}).start;
  }
  const Lock lock(*this, magazine);
  return take_run(pages, kRun);
}

void* Arena::take_small(Magazine& magazine, std::size_t size_class) noexcept {
  Magazine::Stack& stack = magazine.classes[size_class];
  if (stack.count == 0) refill(magazine, size_class);
  return stack.count == 0 ? nullptr : stack.objects[--stack.count];
}

void Arena::refill(Magazine& magazine, std::size_t size_class) noexcept {
  Magazine::Stack& stack = magazine.classes[size_class];
  const Lock lock(*this, magazine);
  if (free_lists_[size_class] == nullptr) carve(size_class);
  while (stack.count < depth_of(size_class) / 2 && free_lists_[size_class] != nullptr) {
    void* object = free_lists_[size_class];
    free_lists_[size_class] = checks::link_of(object);
    checks::set_link(object, nullptr);
    stack.objects[stack.count++] = object;
  }
}

void Arena::carve(std::size_t size_class) noexcept {
  auto* page = static_cast<std::byte*>(take_run(1, static_cast<std::uint8_t>(size_class + 1)));
  if (page == nullptr) return;
  const std::size_t size = kClassBytes[size_class];
  for (std::size_t offset = kPageBytes / size * size; offset >= size; offset -= size) {
    checks::set_link(page + offset - size, free_lists_[size_class]);
    free_lists_[size_class] = page + offset - size;
  }
}

void* Arena::take_run(std::size_t pages, std::uint8_t tag) noexcept {
  // First fit from below keeps the used part, and so the copy that a fork makes, short.
  const auto found = std::search_n(page_map_.begin() + static_cast<std::ptrdiff_t>(first_free_),
                                   page_map_.end(), static_cast<std::ptrdiff_t>(pages), kFree);
  if (found == page_map_.end()) return nullptr;
  const auto first = static_cast<std::size_t>(found - page_map_.begin());
  if (first + pages > usable_pages_) usable_pages_ = extend_(first + pages);
  if (first + pages > usable_pages_) return nullptr;
  std::fill_n(found, pages, kRunTail);
  page_map_[first] = tag;
  run_pages_[first] = static_cast<std::uint32_t>(pages);
  if (first == first_free_) first_free_ += pages;
  return pages_.data() + first * kPageBytes;
}

void Arena::free_run(std::size_t page, std::size_t pages) noexcept {
  std::fill_n(page_map_.begin() + static_cast<std::ptrdiff_t>(page), pages, kFree);
  first_free_ = std::min(first_free_, page);
}

void Arena::release(Magazine& magazine, void* pointer) noexcept {
  const std::size_t size = object_bytes(pointer);
  checks::check_canary(pointer, size);
  checks::unpoison(pointer, size);
  OPENSSL_cleanse(pointer, size);
  checks::poison(pointer, size);
  count(magazine, -static_cast<std::int64_t>(size));
  const std::size_t page = page_of(pointer);
  if (page_map_[page] == kRun) return release_run(magazine, pointer, page);
  const std::size_t size_class = page_map_[page] - 1U;
  Magazine::Stack& stack = magazine.classes[size_class];
  // The commonest double free of all, told apart for the price of a comparison.
  if (stack.count != 0 && stack.objects[stack.count - 1] == pointer) std::abort();
  if (stack.count == depth_of(size_class)) {
    const Lock lock(*this, magazine);
    spill(stack, size_class, depth_of(size_class) / 2);
  }
  stack.objects[stack.count++] = pointer;
}

/// Keeps a short run at hand, if need be in the place of one that may be of no use any more.
void Arena::release_run(Magazine& magazine, void* pointer, std::size_t page) noexcept {
  Magazine::Run run{static_cast<std::byte*>(pointer), run_pages_[page]};
  for (const Magazine::Run& kept : magazine.runs) {
    if (kept.start == pointer) std::abort();
  }
  if (run.pages <= kMostPagesAtHand) {
    std::swap(run, magazine.runs[magazine.oldest_run++ % magazine.runs.size()]);
  }
  if (run.start == nullptr) return;
  const Lock lock(*this, magazine);
  free_run(page_of(run.start), run.pages);
}

void Arena::spill(Magazine::Stack& stack, std::size_t size_class, std::size_t keep) noexcept {
  while (stack.count > keep) {
    void* object = stack.objects[--stack.count];
    checks::set_link(object, free_lists_[size_class]);
    free_lists_[size_class] = object;
  }
}

void Arena::flush(Magazine& magazine) noexcept {
  const Lock lock(*this, magazine);
  for (std::size_t size_class = 0; size_class < kClassBytes.size(); ++size_class) {
    spill(magazine.classes[size_class], size_class, 0);
  }
  for (Magazine::Run& run : magazine.runs) {
    if (run.start != nullptr) free_run(page_of(run.start), run.pages);
    run = {};
  }
}

void Arena::compact(const Magazine& magazine) noexcept {
  const Lock lock(*this, magazine);
  for (std::size_t size_class = 0; size_class < kClassBytes.size(); ++size_class) {
    count_free(size_class);
    free_whole_pages(size_class);
  }
}

/// Leaves in run_pages_, which means nothing else for them, how many objects of a page are free.
void Arena::count_free(std::size_t size_class) noexcept {
  for (void* object = free_lists_[size_class]; object != nullptr;
       object = checks::link_of(object)) {
    run_pages_[page_of(object)] = 0;
  }
  for (void* object = free_lists_[size_class]; object != nullptr;
       object = checks::link_of(object)) {
    ++run_pages_[page_of(object)];
  }
}

void Arena::free_whole_pages(std::size_t size_class) noexcept {
  const std::size_t whole = kPageBytes / kClassBytes[size_class];
  void* next = std::exchange(free_lists_[size_class], nullptr);
  while (next != nullptr) {
    void* const object = next;
    const std::size_t page = page_of(object);
    next = checks::link_of(object);
    if (run_pages_[page] == whole) {
      checks::set_link(object, nullptr);
      free_run(page, 1);
    } else {
      checks::set_link(object, free_lists_[size_class]);
      free_lists_[size_class] = object;
    }
  }
}

}  // namespace vhsm::memory
