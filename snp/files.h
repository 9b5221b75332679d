// SPDX-License-Identifier: Apache-2.0
//
// Small files, whole.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace vhsm::snp {

/// @errors kIo when it cannot be read or is over `max_bytes`. The subject is the path.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_file(const std::string& path,
                                                          std::size_t max_bytes);

/// Makes a new file of `mode` with `data`; an existing one is left alone.
/// @errors kIo. The subject is the path.
Status write_new_file(const std::string& path, std::span<const std::uint8_t> data, mode_t mode);

}  // namespace vhsm::snp
