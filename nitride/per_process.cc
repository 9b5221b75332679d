// SPDX-License-Identifier: Apache-2.0
#include "nitride/per_process.h"

#include <sys/mman.h>

#include <new>

namespace vhsm::nitride {
namespace {

constexpr std::size_t kPageBytes = 4096;

}  // namespace

Result<ForkWord> ForkWord::create() {
  void* page =
      ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return fail(Errc::kOutOfMemory, "no page for a fork flag");
  ForkWord word(new (page) std::atomic<std::uint32_t>(0));
  if (::madvise(page, kPageBytes, MADV_WIPEONFORK) != 0) {
    return fail(Errc::kInternal, "the kernel knows no MADV_WIPEONFORK");
  }
  return word;
}

ForkWord::~ForkWord() {
  if (word_ != nullptr) ::munmap(word_, kPageBytes);
}

}  // namespace vhsm::nitride
