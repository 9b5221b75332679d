// SPDX-License-Identifier: Apache-2.0
//
// The keys of section [vhsm_kbs]: what each one allows, and how its value lands in Config.
// Source: docs/man/vhsm-kbs.cnf.5.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "kbs/config.h"

namespace vhsm::kbs::detail {

struct Key {
  std::string_view name;
  std::string_view allowed;  ///< for errors
  /// @errors any; the caller makes a kBadConfig of it.
  Status (*apply)(Config& config, std::string_view value);
  /// For a path: which member, so that it can be made absolute.
  std::string Config::*path = nullptr;
};

[[nodiscard]] std::span<const Key> all_keys() noexcept;

}  // namespace vhsm::kbs::detail
