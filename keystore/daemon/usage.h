// SPDX-License-Identifier: Apache-2.0
//
// What the clients of vhsmd's server take up, by user, within Limits.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <utility>

#include "base/guarded.h"
#include "keystore/daemon/server.h"

namespace vhsm::keystore {

inline constexpr std::size_t kWaitingThreads = 16;  ///< for answers that wait for a KBS

/// What each user takes up. Thread-safe.
class Usage {
 public:
  explicit Usage(const Limits& limits) : limits_(limits), state_(std::in_place) {}

  bool connect(uid_t user, bool counted) {
    auto state = state_.lock();
    User& of = state->users[user];
    if (counted && (state->connections >= limits_.connections ||
                    of.connections >= limits_.connections_of_user)) {
      if (of.connections == 0) state->users.erase(user);
      return false;
    }
    ++of.connections;
    ++state->connections;
    return true;
  }
  void disconnect(uid_t user) {
    auto state = state_.lock();
    --state->connections;
    const auto found = state->users.find(user);
    if (--found->second.connections == 0) state->users.erase(found);
  }
  bool take_bytes(uid_t user, std::size_t bytes) {
    auto state = state_.lock();
    User& of = state->users[user];
    if (of.bytes + bytes > limits_.bytes_of_user) return false;
    of.bytes += bytes;
    return true;
  }
  void give_bytes(uid_t user, std::size_t bytes) { state_.lock()->users[user].bytes -= bytes; }
  /// A place among those that wait for a KBS; half of them are left to others.
  bool begin_waiting(uid_t user) {
    auto state = state_.lock();
    User& of = state->users[user];
    if (of.waiting >= kWaitingThreads / 2) return false;
    ++of.waiting;
    return true;
  }
  void end_waiting(uid_t user) { --state_.lock()->users[user].waiting; }
  [[nodiscard]] std::size_t connections() const { return state_.lock()->connections; }

 private:
  struct User {
    std::size_t connections = 0;
    std::size_t bytes = 0;
    std::size_t waiting = 0;
  };
  struct State {
    std::map<uid_t, User> users;
    std::size_t connections = 0;
  };
  Limits limits_;
  mutable Guarded<State> state_;
};

/// One of the connections of a user, from connect() to its end.
class Place {
 public:
  Place(Usage& usage, uid_t user) noexcept : usage_(&usage), user_(user) {}
  Place(Place&& other) noexcept
      : usage_(std::exchange(other.usage_, nullptr)), user_(other.user_) {}
  Place& operator=(Place&&) = delete;
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (usage_ != nullptr) usage_->disconnect(user_);
  }

 private:
  Usage* usage_;
  uid_t user_;
};

/// Gives a place that begin_waiting() took back.
class WaitingPlace {
 public:
  WaitingPlace(Usage& usage, uid_t user) noexcept : usage_(usage), user_(user) {}
  WaitingPlace(const WaitingPlace&) = delete;
  WaitingPlace& operator=(const WaitingPlace&) = delete;
  ~WaitingPlace() { usage_.end_waiting(user_); }

 private:
  Usage& usage_;
  uid_t user_;
};

/// Bytes of a large message that count against its user, for so long.
class Share {
 public:
  Share(Usage& usage, uid_t user) noexcept : usage_(usage), user_(user) {}
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  ~Share() { give_back(); }

  bool take(std::size_t bytes) {
    if (bytes <= kSmallMessageBytes || bytes_ != 0) return true;
    if (!usage_.take_bytes(user_, bytes)) return false;
    bytes_ = bytes;
    return true;
  }
  void give_back() {
    if (bytes_ != 0) usage_.give_bytes(user_, std::exchange(bytes_, 0));
  }

 private:
  Usage& usage_;
  uid_t user_;
  std::size_t bytes_ = 0;
};

}  // namespace vhsm::keystore
