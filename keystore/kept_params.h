// SPDX-License-Identifier: Apache-2.0
//
// An OSSL_PARAM array that owns its names and values, so that it can be kept.
// Source: OSSL_PARAM(3).
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::keystore {

class KeptParams {
 public:
  static constexpr std::size_t kMaxCount = 32;
  static constexpr std::size_t kMaxNameBytes = 64;
  static constexpr std::size_t kMaxValueBytes = 4096;

  /// Adds copies; pointers become what they point to. As with any setter, names that are there
  /// already get their new values.
  /// @errors kUnsupported for a type, a count or a size that is not kept (subject: the parameter).
  Status add(const OSSL_PARAM params[]);

  /// Ended by a row of nulls. Good until the next change; libcrypto only reads it.
  [[nodiscard]] std::vector<OSSL_PARAM> view() const;
  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }

 protected:
  struct Item {
    std::string name;
    unsigned type;
    std::vector<std::uint8_t> value;  ///< with a null byte behind it, which does not count
  };
  Status add_one(std::string_view name, unsigned type, std::span<const std::uint8_t> value);
  [[nodiscard]] const std::vector<Item>& items() const noexcept { return items_; }

 private:
  std::vector<Item> items_;
};

}  // namespace vhsm::keystore
