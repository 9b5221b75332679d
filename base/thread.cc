// SPDX-License-Identifier: Apache-2.0
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

#include <memory>
#include <utility>

namespace vhsm {
namespace {

using Body = std::function<void()>;

constexpr std::size_t kStackBytes = std::size_t{256} << 10;  // NSS modules and TLS are not small

/// Blocks all signals of this thread, for a new thread to inherit.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t old_{};
};

void* run(void* argument) noexcept {
  const std::unique_ptr<Body> body(static_cast<Body*>(argument));
  try {
    (*body)();
  } catch (...) {  // bad_alloc: there is no one to tell
  }
  return nullptr;
}

bool start_detached(Body* body) noexcept {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  const SignalsBlocked quiet;
  pthread_t thread{};
  const int rc = pthread_create(&thread, &attributes, &run, body);
  pthread_attr_destroy(&attributes);
  return rc == 0;
}

}  // namespace

bool start_thread(Body body) noexcept {
  try {
    auto owned = std::make_unique<Body>(std::move(body));
    if (!start_detached(owned.get())) return false;
    static_cast<void>(owned.release());  // run() owns it now
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace vhsm
