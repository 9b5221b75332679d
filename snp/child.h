// SPDX-License-Identifier: Apache-2.0
//
// A program run for what it prints.
// Source: posix_spawn(3), poll(2).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace vhsm::snp {

/// Runs `command` (its first word is a path) with `input` as standard input, at most a page of it,
/// and gives what it prints. Its complaints are dropped. It is killed when `deadline` passes.
/// @errors kIo when it cannot be run, ends with a failure, or prints more than `max_bytes`;
///         kPlatform when it takes too long. The subject is the program.
[[nodiscard]] Result<std::vector<std::uint8_t>> run_program(const std::vector<std::string>& command,
                                                            std::span<const std::uint8_t> input,
                                                            std::size_t max_bytes,
                                                            TimePoint deadline);

}  // namespace vhsm::snp
