// SPDX-License-Identifier: Apache-2.0
//
// Protected memory started before anything else in the test program uses libcrypto.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "memory/protected_memory.h"

namespace vhsm::memory {

class MemoryTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(initialise({}).ok()); }
};

/// What `body` answers in a forked child, as its exit status; -1 when it died.
template <class Body>
int in_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      ::_exit(body());
    } catch (...) {
      ::_exit(99);  // and not on as a second copy of the test
    }
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace vhsm::memory
