// SPDX-License-Identifier: Apache-2.0
#include "keystore/permit.h"

#include <time.h>

#include "keystore/key.h"
#include "keystore/renewer.h"
#include "keystore/symmetric_key.h"

namespace vhsm::keystore {

BootTime boot_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Status Permit::verdict() const {
  const auto state = lease_.state();  // before the cause, which is written first
  const Errc why = why_.load(std::memory_order_relaxed);
  switch (state) {
    case Lease::State::kRevoked:
      return fail(why, "the KBS has taken the key back, and it is wiped here", uri_.name.uri());
    case Lease::State::kOver:
      if (why == Errc::kBadConfig) {
        return fail(why,
                    "the key is under a gate, and there is no KBS to prove this VM to: set kbs",
                    uri_.name.uri());
      }
      return fail(why, "this VM has to be proved anew before the key may be used", uri_.name.uri());
    default: return {};
  }
}

Permit::TimePoint Permit::due() const noexcept {
  return std::chrono::steady_clock::now() + (lease_.due() - lease_.now());
}

void Permit::grant(BootTime since, TimePoint proven) noexcept {
  const auto jitter = static_cast<std::uint8_t>(lease_.now().count() / 1000);
  proven_.store(proven);
  failed(Errc::kUnreachable);
  lease_.grant(since, jitter);
}

void Permit::lend(std::chrono::seconds left) noexcept {
  failed(Errc::kUnreachable);
  lease_.lend(lease_.now() + left);
}

void Permit::belong_to(std::weak_ptr<const Key> key,
                       std::weak_ptr<const SymmetricKey> symmetric) noexcept {
  key_ = std::move(key);
  symmetric_ = std::move(symmetric);
}

void Permit::revoke(Errc why) noexcept {
  failed(why);
  lease_.revoke();
  if (const auto key = key_.lock()) key->wipe();
  if (const auto symmetric = symmetric_.lock()) symmetric->wipe();
}

void Permit::prepare(std::chrono::milliseconds patience) {
  const auto renewer = renewer_.lock();
  if (closed() && renewer != nullptr) {
    static_cast<void>(renewer->attend(shared_from_this(), patience));
  }
}

/// Where the keystore is gone nobody renews: the lease runs out.
Status Permit::ask_slowly() {
  const auto renewer = renewer_.lock();
  return renewer == nullptr ? verdict() : renewer->attend(shared_from_this());
}

}  // namespace vhsm::keystore
