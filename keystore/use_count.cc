// SPDX-License-Identifier: Apache-2.0
#include "keystore/use_count.h"

#include "memory/protected_memory.h"

namespace vhsm::keystore {
namespace {

constexpr unsigned kProcessShift = 32;

std::uint64_t none_of_this_process() noexcept { return memory::generation() << kProcessShift; }

/// What `held` is worth here: nothing, if it is of a process before this one.
std::uint64_t own(std::uint64_t held) noexcept {
  const std::uint64_t none = none_of_this_process();
  return held >> kProcessShift == none >> kProcessShift ? held : none;
}

}  // namespace

bool UseCount::spend_own() noexcept {
  std::uint64_t held = held_.load();
  while (own(held) > none_of_this_process()) {
    if (held_.compare_exchange_weak(held, held - 1)) return true;
  }
  return false;
}

void UseCount::keep(std::uint32_t uses) noexcept {
  std::uint64_t held = held_.load();
  while (!held_.compare_exchange_weak(held, own(held) + uses)) {
  }
}

Status UseCount::spend() {
  if (spend_own()) return {};
  const std::uint32_t taken = VHSM_TRY(take_());
  keep(taken - 1);
  return {};
}

}  // namespace vhsm::keystore
