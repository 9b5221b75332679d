// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/windows.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstring>

namespace vhsm::tests {
namespace {

constexpr std::size_t kWord = 8;
constexpr unsigned kHashBits = 24;

std::uint64_t start_of(const std::uint8_t* at) {
  std::uint64_t start = 0;
  std::memcpy(&start, at, sizeof start);
  return start;
}

std::uint64_t hash(std::uint64_t start) noexcept {
  return (start * 0x9E3779B97F4A7C15U) >> (64 - kHashBits);
}

/// Runs of one byte and the like occur in any memory: half of the window's bytes must differ.
bool telling(const std::uint8_t* window, std::size_t size) {
  std::bitset<256> seen;
  std::for_each(window, window + size, [&](std::uint8_t byte) { seen.set(byte); });
  return seen.count() >= (size == kWord ? 5 : 8);
}

std::size_t equal_bytes(const std::uint8_t* a, const std::uint8_t* b, std::size_t size) {
  return static_cast<std::size_t>(std::mismatch(a, a + size, b).first - a);
}

}  // namespace

Windows::Windows(const std::vector<Value>& values, Size size)
    : likely_((std::size_t{1} << kHashBits) / 64) {
  std::size_t room = 0;
  for (const Value& value : values) {
    for (const Form& form : forms()) {
      if (size == Size::kWord && !form.dense) continue;
      const std::size_t window = size == Size::kWord ? kWord : form.window;
      Needle needle{value.name, form.name, form.encode(value), window};
      if (needle.bytes.size() < window) continue;
      room += needle.bytes.size();
      longest_ = std::max(longest_, needle.bytes.size());
      needles_.push_back(std::move(needle));
    }
  }
  slots_.resize(std::bit_ceil(room * 2 + 1));
  for (std::size_t i = 0; i < needles_.size(); ++i) add(static_cast<std::uint32_t>(i));
}

void Windows::add(std::uint32_t needle) {
  const auto& [value, form, bytes, window] = needles_[needle];
  for (std::size_t at = 0; at + window <= bytes.size(); ++at) {
    if (!telling(bytes.data() + at, window)) continue;
    const std::uint64_t start = start_of(bytes.data() + at);
    likely_[hash(start) / 64] |= std::uint64_t{1} << (hash(start) % 64);
    insert({start, needle, static_cast<std::uint32_t>(at), true});
    ++count_;
  }
}

void Windows::insert(const Slot& slot) {
  std::size_t index = hash(slot.start) & (slots_.size() - 1);
  while (slots_[index].used) index = (index + 1) & (slots_.size() - 1);
  slots_[index] = slot;
}

bool Windows::likely(std::uint64_t start) const noexcept {
  return ((likely_[hash(start) / 64] >> (hash(start) % 64)) & 1) != 0;
}

void Windows::find(const std::uint8_t* begin, std::size_t size,
                   const std::function<void(std::size_t at, const Match& match)>& found) const {
  std::vector<std::size_t> known_to(needles_.size());
  for (std::size_t at = 0; at + kWord <= size; ++at) {
    const std::uint64_t start = start_of(begin + at);
    if (!likely(start)) continue;
    std::size_t index = hash(start) & (slots_.size() - 1);
    for (; slots_[index].used; index = (index + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[index];
      const Needle& needle = needles_[slot.needle];
      if (slot.start != start || at + needle.window <= known_to[slot.needle]) continue;
      const std::size_t rest = std::min(needle.bytes.size() - slot.at, size - at);
      const std::size_t equal = equal_bytes(begin + at, needle.bytes.data() + slot.at, rest);
      if (equal < needle.window) continue;
      known_to[slot.needle] = at + equal;
      found(at, {needle.value, needle.form, equal, equal == needle.bytes.size()});
    }
  }
}

}  // namespace vhsm::tests
