// SPDX-License-Identifier: Apache-2.0
#include "keystore/use_count.h"

#include <algorithm>

#include "memory/protected_memory.h"

namespace vhsm::keystore {
namespace {

constexpr unsigned kProcessShift = 32;

std::uint64_t zero_of_this_process() noexcept { return memory::generation() << kProcessShift; }

/// What `number` is worth here: nothing, if it is of a process before this one.
std::uint64_t own(std::uint64_t number) noexcept {
  const std::uint64_t zero = zero_of_this_process();
  return number >> kProcessShift == zero >> kProcessShift ? number : zero;
}

}  // namespace

// ----- a number of this process ------------------------------------------------------------------

std::uint32_t OwnNumber::value() const noexcept {
  return static_cast<std::uint32_t>(own(number_.load()));
}

void OwnNumber::add(std::uint32_t more) noexcept {
  std::uint64_t number = number_.load();
  std::uint64_t sum = 0;
  do {
    const std::uint64_t room = UINT32_MAX - static_cast<std::uint32_t>(own(number));
    sum = own(number) + std::min<std::uint64_t>(more, room);
  } while (!number_.compare_exchange_weak(number, sum));
}

bool OwnNumber::take_one() noexcept {
  std::uint64_t number = number_.load();
  while (own(number) > zero_of_this_process()) {
    if (number_.compare_exchange_weak(number, number - 1)) return true;
  }
  return false;
}

std::uint32_t OwnNumber::take_all() noexcept {
  return static_cast<std::uint32_t>(own(number_.exchange(zero_of_this_process())));
}

// ----- uses --------------------------------------------------------------------------------------

Status UseCount::spend() {
  if (held_.take_one()) return {};
  const std::uint32_t wanted = std::max(1U, taken_.value());
  const std::uint32_t taken = VHSM_TRY(store_.take(wanted));
  taken_.add(taken);
  held_.add(taken - 1);
  return {};
}

/// They are nobody's before they are given back: a crash meanwhile loses them.
UseCount::~UseCount() {
  const std::uint32_t left = held_.take_all();
  if (left == 0 || memory::in_scope()) return;
  try {
    static_cast<void>(store_.give_back(left));
  } catch (const std::exception&) {  // bad_alloc: they are lost, too
  }
}

}  // namespace vhsm::keystore
