// SPDX-License-Identifier: Apache-2.0
//
// The keys that are looked for: those of tests/kinds.h but the twisted curves, which are the others
// in another form, and the slow ones.
#pragma once

#include <string>
#include <vector>

#include "tests/kinds.h"

namespace vhsm::tests {

inline bool is_looked_for(const Kind& kind) {
  const bool twisted = kind.name.ends_with("t1");
  return !twisted && !kind.is_slow() && kind.type->family != keystore::Family::kRsa;
}

inline std::vector<std::string> residue_kinds() {
  std::vector<std::string> names{"RSA2048", "RSA4096"};
  for (const Kind& kind : kinds_that(is_looked_for)) names.push_back(kind.name);
  return names;
}

}  // namespace vhsm::tests
