// SPDX-License-Identifier: Apache-2.0
//
// Finds any part of many secrets in memory at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/residue/forms.h"
#include "tests/residue/values.h"

namespace vhsm::tests {

/// A value in one form, or the part of it that was found.
struct Match {
  std::string value;
  std::string form;
  std::size_t bytes = 0;  ///< found in one piece
  bool whole = false;
};

/// All windows of all forms of some values.
class Windows {
 public:
  enum class Size {
    kOfTheForm,  ///< 16 bytes, or more where those hold too few secret bits
    kWord,       ///< 8 bytes of the dense forms
  };

  explicit Windows(const std::vector<Value>& values, Size size = Size::kOfTheForm);

  /// Calls `found` for each window in [begin, begin + size) that does not lie within the last match
  /// of the same form.
  void find(const std::uint8_t* begin, std::size_t size,
            const std::function<void(std::size_t at, const Match& match)>& found) const;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// How many bytes the longest secret takes: pieces of memory must overlap by so much.
  [[nodiscard]] std::size_t longest() const noexcept { return longest_; }

 private:
  struct Needle {
    std::string value;
    const char* form;
    Bytes bytes;
    std::size_t window;
  };
  struct Slot {
    std::uint64_t start = 0;  // the first eight bytes of the window
    std::uint32_t needle = 0;
    std::uint32_t at = 0;
    bool used = false;
  };

  void add(std::uint32_t needle);
  void insert(const Slot& slot);
  [[nodiscard]] bool likely(std::uint64_t start) const noexcept;

  std::vector<Needle> needles_;
  std::vector<std::uint64_t> likely_;  // one bit for each hash of a start: almost all end here
  std::vector<Slot> slots_;            // open addressing
  std::size_t count_ = 0;
  std::size_t longest_ = 0;
};

}  // namespace vhsm::tests
