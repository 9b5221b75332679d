// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/note.h"

#include <cstdlib>
#include <fstream>

namespace vhsm::tests {

void note(const Situation& situation, const Report& report) {
  const char* const path = std::getenv("VHSM_RESIDUES");
  if (path == nullptr) return;
  std::ofstream(path, std::ios::app)
      << situation.name + "\t" + situation.algorithm + "\t" + situation.memory + "\t" +
             std::to_string(report.leaks().size()) + "\t" +
             std::to_string(report.at(Place::kProtected).size()) + "\t" +
             std::to_string(report.bytes + report.core_bytes) + "\n";
}

}  // namespace vhsm::tests
