// SPDX-License-Identifier: Apache-2.0
//
// The keys of section [vhsm]: what each one allows, and how its value becomes a member of Settings.
// Source: docs/man/vhsm.cnf.5.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "base/settings.h"

namespace vhsm::detail {

/// One key of [vhsm].
struct Setting {
  std::string_view name;
  std::string_view allowed;  ///< the allowed values, for errors
  /// Reads `value` into Settings. Null: a key that this version does not implement.
  /// @errors kBadConfig for a value that is not allowed, kUnsupported for one of a later version;
  ///         the subject is the offending part of the value, if not all of it.
  Status (*apply)(Settings& settings, std::string_view value);
  bool tells_trust = false;  ///< with require_init_data init-data has it, and nobody else
};

/// Every key that vhsm.cnf may have; a provider section also has `config`, the path of one.
[[nodiscard]] std::span<const Setting> all_settings() noexcept;

}  // namespace vhsm::detail
