// SPDX-License-Identifier: Apache-2.0
//
// Settings for the providers that a test loads.
#pragma once

#include <cstdlib>
#include <string>

#include "tests/base/temp_dir.h"

namespace vhsm::test {

/// vhsm.cnf for the providers that are loaded while it is there.
class Configured {
 public:
  explicit Configured(const std::string& lines) {
    ::setenv("VHSM_CONF", folder_.write("vhsm.cnf", "[vhsm]\n" + lines).c_str(), 1);
  }
  Configured(const Configured&) = delete;
  Configured& operator=(const Configured&) = delete;
  ~Configured() { ::unsetenv("VHSM_CONF"); }

 private:
  TempDir folder_;
};

}  // namespace vhsm::test
