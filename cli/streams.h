// SPDX-License-Identifier: Apache-2.0
//
// Files and pipes of any size, read and written in pieces.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/descriptor.h"
#include "base/result.h"

namespace vhsm::cli {

class InputStream {
 public:
  /// @param path  "-": standard input.  @errors kIo.
  static Result<InputStream> open(const std::string& path);
  /// Fills `into`; less is the end.  @errors kIo.
  Result<std::size_t> fill(std::span<std::uint8_t> into) const;

 private:
  InputStream(Descriptor file, std::string path) noexcept
      : file_(std::move(file)), path_(std::move(path)) {}

  Descriptor file_;
  std::string path_;
};

/// A file appears under its name, with mode 0600, when it is complete, and not before. Until then
/// it has no name, so that nothing of it is left whatever ends the process; where the file system
/// has no such files it is beside its name, and goes when this goes.
class OutputStream {
 public:
  /// @param path  "-": standard output.  @errors kIo.
  static Result<OutputStream> open(const std::string& path);
  OutputStream(OutputStream&& other) noexcept = default;
  OutputStream& operator=(OutputStream&&) = delete;
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;
  ~OutputStream();

  /// @errors kIo.
  Status write(std::span<const std::uint8_t> bytes) const;
  /// All is there: takes the place of a file of this name.  @errors kIo.
  Status complete();

 private:
  OutputStream(Descriptor file, std::string path, std::string beside, bool is_file) noexcept
      : file_(std::move(file)),
        path_(std::move(path)),
        beside_(std::move(beside)),
        is_file_(is_file) {}

  /// Gives the file this name, if it is free.
  [[nodiscard]] bool link(const std::string& name) const;
  /// Gives it a name beside its own, which is taken.
  Status name_beside();

  Descriptor file_;
  std::string path_;
  std::string beside_;  ///< the name that it has so far
  bool is_file_;        ///< or standard output
};

}  // namespace vhsm::cli
