// SPDX-License-Identifier: Apache-2.0
//
// From tests to the table in docs/residues.md.
#pragma once

#include <string>

#include "tests/residue/scan.h"

namespace vhsm::tests {

/// What a row of the table in docs/residues.md is about.
struct Situation {
  std::string name;
  std::string algorithm;
  std::string memory;  ///< "secret", "locked", or "file" for the control
};

/// Adds the outcome to the file that VHSM_RESIDUES names, if it names one.
void note(const Situation& situation, const Report& report);

}  // namespace vhsm::tests
