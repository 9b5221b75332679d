// SPDX-License-Identifier: Apache-2.0
#include "memory/chunks.h"

#include <sys/mman.h>

#include <algorithm>

namespace vhsm::memory {
namespace {

constexpr std::size_t kSmallestChunkBytes = std::size_t{256} << 10;
constexpr std::size_t kMostChunks = 64;
constexpr std::size_t kReadyPages = 16;  // what extend() makes usable at a time

constexpr std::size_t round_up(std::size_t value, std::size_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

/// Not memcpy(): the copy takes what is nobody's along, and a sanitizer would object.
void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

}  // namespace

void Chunks::adopt(std::span<std::byte> arena, std::span<std::byte> standby, Kind kind,
                   const ProtectionKey& key) noexcept {
  arena_ = arena;
  standby_ = standby;
  kind_ = standby_kind_ = kind;
  key_ = &key;
  chunk_bytes_ = std::max(kSmallestChunkBytes, round_up(arena.size() / kMostChunks, kPageBytes));
  chunks_ = standby_chunks_ = ready_pages_ = standby_ready_pages_ = 0;
}

std::span<std::byte> Chunks::chunk(std::span<std::byte> area, std::size_t i) const noexcept {
  const std::size_t from = std::min(i * chunk_bytes_, area.size());
  return area.subspan(from, std::min(chunk_bytes_, area.size() - from));
}

std::size_t Chunks::chunks_for(std::size_t pages) const noexcept {
  return (std::min(pages * kPageBytes, arena_.size()) + chunk_bytes_ - 1) / chunk_bytes_;
}

/// The standby first: a chunk of the arena without its counterpart could not be forked.
bool Chunks::back_up_to(std::size_t chunks) noexcept {
  for (std::size_t next = chunks_; next < chunks; ++next) {
    if (standby_chunks_ == next && !back_standby_up_to(next + 1)) return false;
    if (!back(chunk(arena_, next), kind_, *key_).ok()) return false;
    chunks_ = next + 1;
  }
  return true;
}

bool Chunks::back_standby_up_to(std::size_t chunks) noexcept {
  if (standby_.empty()) return true;
  for (; standby_chunks_ < chunks; ++standby_chunks_) {
    if (!back(chunk(standby_, standby_chunks_), standby_kind_, *key_).ok()) return false;
  }
  return true;
}

Status Chunks::back_pages(std::size_t pages) noexcept {
  const std::uint32_t rights = key_->open();
  const bool all = extend(pages) >= pages;
  key_->restore(rights);
  return all ? Status() : fail(Errc::kMemoryLimit, "protected memory cannot be locked");
}

std::size_t Chunks::extend(std::size_t pages) noexcept {
  back_up_to(chunks_for(pages));
  const std::size_t backed = std::min(backed_bytes(), arena_.size()) / kPageBytes;
  const std::size_t wanted = std::min(round_up(pages, kReadyPages), backed);
  std::size_t ready = touched(arena_, ready_pages_, wanted);
  // A child has no standby before it forks itself.
  if (standby_chunks_ != 0 && !touch_standby(ready))
    ready = std::max(standby_ready_pages_, ready_pages_);
  return ready_pages_ = std::max(ready, ready_pages_);
}

/// @return up to which page `area` can be used, if it can up to `from` and is backed up to `to`.
std::size_t Chunks::touched(std::span<std::byte> area, std::size_t from,
                            std::size_t to) const noexcept {
  if (kind_ != Kind::kSecretMemory || to <= from) return std::max(from, to);
  return from + touch(area.subspan(from * kPageBytes, (to - from) * kPageBytes));
}

/// A page of secret memory is dear when it is first touched (5 us): better now than in a fork.
bool Chunks::touch_standby(std::size_t pages) noexcept {
  if (standby_.empty()) return true;
  const std::size_t backed = std::min(standby_chunks_ * chunk_bytes_, standby_.size()) / kPageBytes;
  standby_ready_pages_ = touched(standby_, standby_ready_pages_, std::min(pages, backed));
  return standby_ready_pages_ >= pages;
}

bool Chunks::prepare_standby(std::span<std::byte> used) noexcept {
  if (standby_.empty()) return true;
  const std::size_t pages = used.size() / kPageBytes;
  const std::uint32_t rights = key_->open();
  const bool ready = back_standby_up_to(chunks_) && touch_standby(pages);
  if (ready) touch_standby(std::min(round_up(pages + 1, kReadyPages), ready_pages_));
  key_->restore(rights);
  return ready;
}

bool Chunks::prepare_locked_standby() noexcept {
  give_standby_away();
  standby_kind_ = Kind::kLocked;
  standby_ready_pages_ = arena_.size() / kPageBytes;
  if (back_standby_up_to(chunks_)) return true;
  give_standby_away();
  return false;
}

void Chunks::give_standby_away() noexcept {
  // Pages of its own, unlike secret memory, which is the child's alone.
  if (standby_kind_ != kind_) unback(standby_);
  standby_kind_ = kind_;
  standby_chunks_ = standby_ready_pages_ = 0;
}

bool Chunks::copy_to_standby(std::span<std::byte> used) noexcept {
  if (standby_.empty()) return true;
  const bool room = standby_ready_pages_ * kPageBytes >= used.size() || prepare_standby(used);
  if (!room && !prepare_locked_standby()) return false;
  const std::uint32_t rights = key_->open();
  copy_bytes(standby_.data(), used.data(), used.size());
  key_->restore(rights);
  return true;
}

void Chunks::unmap() noexcept {
  if (!arena_.empty()) unback(arena_);
  if (!standby_.empty()) unback(standby_);
  arena_ = standby_ = {};
}

bool Chunks::move_standby() noexcept {
  for (std::size_t i = 0; i < chunks_; ++i) {
    const auto from = chunk(standby_, i);
    const auto to = chunk(arena_, i);
    // One by one: a range of several mappings cannot be moved at once.
    if (::mremap(from.data(), from.size(), to.size(), MREMAP_MAYMOVE | MREMAP_FIXED, to.data()) ==
        MAP_FAILED) {
      return false;
    }
    unback(from);
  }
  kind_ = standby_kind_;
  ready_pages_ = std::min(standby_ready_pages_, backed_bytes() / kPageBytes);
  give_standby_away();
  return true;
}

bool Chunks::take_over() noexcept {
  if (!standby_.empty() && !move_standby()) return false;
  if (kind_ != Kind::kLocked) return true;
  standby_ = {};  // from now on the kernel copies
  return lock(arena_.first(std::min(backed_bytes(), arena_.size()))).ok();
}

}  // namespace vhsm::memory
