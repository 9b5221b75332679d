// SPDX-License-Identifier: Apache-2.0
//
// The pages behind the arena, which come in chunks as they are needed, and behind the standby area,
// to which a fork copies them: each chunk of the one has its counterpart in the other, so that what
// could be had once can also be forked.
// Sources: memfd_secret(2), mremap(2).
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

#include "memory/pages.h"

namespace vhsm::memory {

class Chunks {
 public:
  constexpr Chunks() = default;

  /// @param standby  address space as large as the arena's; empty for kLocked, whose pages the
  ///        kernel copies at a fork.
  void adopt(std::span<std::byte> arena, std::span<std::byte> standby, Kind kind,
             const ProtectionKey& key) noexcept;

  /// Makes the first pages usable, to know that there are some. @errors kMemoryLimit.
  Status back_first() noexcept { return back_pages(1); }
  /// Makes all pages usable: for whoever cannot have them later. @errors kMemoryLimit.
  Status back_all() noexcept { return back_pages(arena_.size() / kPageBytes); }

  /// Makes the first `pages` pages of the arena usable, with room in the standby area at hand.
  /// @return how many are usable: fewer when RLIMIT_MEMLOCK has been reached.
  std::size_t extend(std::size_t pages) noexcept;

  /// Fresh standby pages for `used` and some more, so that the next copy_to_standby() only copies.
  /// @return false when RLIMIT_MEMLOCK has been reached.
  bool prepare_standby(std::span<std::byte> used) noexcept;
  /// Copies `used`, the first part of the arena. Before a fork, with no one inside. To locked pages
  /// when there is no secret memory left: newer kernels count that of all processes of a user.
  bool copy_to_standby(std::span<std::byte> used) noexcept;
  /// In the parent, after a fork: the copy belongs to the child.
  void give_standby_away() noexcept;
  [[nodiscard]] std::size_t usable_pages() const noexcept { return ready_pages_; }
  /// Takes arena and standby out of reach: where there is no room for them, and in a process whose
  /// pages are another's, so that a stray access ends this process and does not change that one.
  void unmap() noexcept;
  /// In the child: puts the copy where the pointers point to, and locks what is locked no more.
  bool take_over() noexcept;
  /// Of the arena's pages.
  [[nodiscard]] Kind kind() const noexcept { return kind_; }

  [[nodiscard]] std::size_t backed_bytes() const noexcept {
    return chunks_.load(std::memory_order_relaxed) * chunk_bytes_;
  }

 private:
  Status back_pages(std::size_t pages) noexcept;
  [[nodiscard]] std::span<std::byte> chunk(std::span<std::byte> area, std::size_t i) const noexcept;
  [[nodiscard]] std::size_t chunks_for(std::size_t pages) const noexcept;
  bool back_up_to(std::size_t chunks) noexcept;
  bool back_standby_up_to(std::size_t chunks) noexcept;
  bool prepare_locked_standby() noexcept;
  bool move_standby() noexcept;
  [[nodiscard]] std::size_t touched(std::span<std::byte> area, std::size_t from,
                                    std::size_t to) const noexcept;
  bool touch_standby(std::size_t pages) noexcept;

  std::span<std::byte> arena_;
  std::span<std::byte> standby_;
  Kind kind_ = Kind::kNone;
  Kind standby_kind_ = Kind::kNone;
  const ProtectionKey* key_ = nullptr;
  std::size_t chunk_bytes_ = 0;
  std::atomic<std::size_t> chunks_{0};  // of the arena
  std::size_t standby_chunks_ = 0;
  std::size_t ready_pages_ = 0;          // of the arena: usable
  std::size_t standby_ready_pages_ = 0;  // touched
};

}  // namespace vhsm::memory
