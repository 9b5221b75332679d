// SPDX-License-Identifier: Apache-2.0
#include "memory/arena.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "memory/pages.h"

namespace vhsm::memory {
namespace {

constexpr std::uint8_t kFree = 0;
constexpr std::uint8_t kRun = 0xFE;
constexpr std::uint8_t kRunTail = 0xFF;

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

void* next_of(void* object) noexcept {
  void* next = nullptr;
  std::memcpy(&next, object, sizeof next);
  return next;
}

void set_next(void* object, void* next) noexcept { std::memcpy(object, &next, sizeof next); }

}  // namespace

/// A spin lock: held for some dozen instructions, and never across a fork (the forking thread waits
/// until no slot is taken).
class Arena::Lock {
 public:
  explicit Lock(std::atomic_flag& flag) noexcept : flag_(flag) {
    while (flag_.test_and_set(std::memory_order_acquire)) __builtin_ia32_pause();
  }
  ~Lock() { flag_.clear(std::memory_order_release); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  std::atomic_flag& flag_;
};

void Arena::adopt(std::span<std::byte> pages, std::span<std::uint8_t> page_map,
                  std::span<std::uint32_t> run_pages) noexcept {
  pages_ = pages;
  page_map_ = page_map;
  run_pages_ = run_pages;
}

std::span<std::byte> Arena::used_pages() const noexcept {
  const auto last = std::find_if(page_map_.rbegin(), page_map_.rend(),
                                 [](std::uint8_t tag) { return tag != kFree; });
  return pages_.first(static_cast<std::size_t>(page_map_.rend() - last) * kPageBytes);
}

std::size_t Arena::page_of(const void* pointer) const noexcept {
  return static_cast<std::size_t>(static_cast<const std::byte*>(pointer) - pages_.data()) /
         kPageBytes;
}

std::size_t Arena::usable_bytes(const void* pointer) const noexcept {
  const std::size_t page = page_of(pointer);
  const std::uint8_t tag = page_map_[page];
  if (tag == kRun) return run_pages_[page] * kPageBytes;
  // Not one of ours: the heap of the host is damaged, and going on could leak a key.
  if (tag == kFree || tag == kRunTail) std::abort();
  return kClassBytes[tag - 1U];
}

void* Arena::allocate(Magazine& magazine, std::size_t size) noexcept {
  if (size > kLargestClass) return allocate_run(magazine, size);
  const std::size_t size_class = class_of(size);
  void* object = take_small(magazine.classes[size_class], size_class);
  if (object != nullptr) count(magazine, kClassBytes[size_class]);
  return object;
}

void* Arena::allocate_run(Magazine& magazine, std::size_t size) noexcept {
  if (size > pages_.size()) return nullptr;
  const std::size_t pages = (size + kPageBytes - 1) / kPageBytes;
  const Lock lock(busy_);
  void* object = take_run(pages, kRun);
  if (object != nullptr) count(magazine, static_cast<std::int64_t>(pages * kPageBytes));
  return object;
}

void* Arena::take_small(Magazine::Stack& stack, std::size_t size_class) noexcept {
  if (stack.count == 0) refill(stack, size_class);
  return stack.count == 0 ? nullptr : stack.objects[--stack.count];
}

void Arena::refill(Magazine::Stack& stack, std::size_t size_class) noexcept {
  const Lock lock(busy_);
  if (free_lists_[size_class] == nullptr) carve(size_class);
  while (stack.count < kMagazineDepth / 2 && free_lists_[size_class] != nullptr) {
    void* object = free_lists_[size_class];
    free_lists_[size_class] = next_of(object);
    set_next(object, nullptr);
    stack.objects[stack.count++] = object;
  }
}

void Arena::carve(std::size_t size_class) noexcept {
  auto* page = static_cast<std::byte*>(take_run(1, static_cast<std::uint8_t>(size_class + 1)));
  if (page == nullptr) return;
  const std::size_t size = kClassBytes[size_class];
  for (std::size_t offset = kPageBytes / size * size; offset >= size; offset -= size) {
    set_next(page + offset - size, free_lists_[size_class]);
    free_lists_[size_class] = page + offset - size;
  }
}

void* Arena::take_run(std::size_t pages, std::uint8_t tag) noexcept {
  // First fit from below keeps the used part, and so the copy that a fork makes, short.
  const auto found =
      std::search_n(page_map_.begin(), page_map_.end(), static_cast<std::ptrdiff_t>(pages), kFree);
  if (found == page_map_.end()) return nullptr;
  const auto first = static_cast<std::size_t>(found - page_map_.begin());
  std::fill_n(found, pages, kRunTail);
  page_map_[first] = tag;
  run_pages_[first] = static_cast<std::uint32_t>(pages);
  return pages_.data() + first * kPageBytes;
}

void Arena::release(Magazine& magazine, void* pointer) noexcept {
  const std::size_t size = usable_bytes(pointer);
  OPENSSL_cleanse(pointer, size);
  count(magazine, -static_cast<std::int64_t>(size));
  const std::size_t page = page_of(pointer);
  if (page_map_[page] == kRun) {
    const Lock lock(busy_);
    std::fill_n(page_map_.begin() + static_cast<std::ptrdiff_t>(page), run_pages_[page], kFree);
    return;
  }
  const std::size_t size_class = page_map_[page] - 1U;
  Magazine::Stack& stack = magazine.classes[size_class];
  if (stack.count == kMagazineDepth) spill(stack, size_class);
  stack.objects[stack.count++] = pointer;
}

void Arena::spill(Magazine::Stack& stack, std::size_t size_class) noexcept {
  const Lock lock(busy_);
  while (stack.count > kMagazineDepth / 2) {
    void* object = stack.objects[--stack.count];
    set_next(object, free_lists_[size_class]);
    free_lists_[size_class] = object;
  }
}

}  // namespace vhsm::memory
