// SPDX-License-Identifier: Apache-2.0
//
// A client that sends what it likes, in pieces, and leaves when it likes: nothing of that disturbs
// others, whatever it was. (What messages can do once they are whole is for the fuzzer to find.)
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/vhsmd/running_daemon.h"

namespace vhsm::keystore {
namespace {

/// How long; the campaign may say FUZZ_SECONDS.
seconds duration() {
  const char* const wanted = std::getenv("FUZZ_SECONDS");
  return seconds(wanted == nullptr ? 3 : std::atoi(wanted));
}

/// Another user's process: messages of every kind, most of them damaged.
class Attack {
 public:
  Attack(std::string path, unsigned seed) : path_(std::move(path)), random_(seed) {
    for (auto ask = static_cast<unsigned>(Ask::kOpen); ask <= static_cast<unsigned>(Ask::kLast);
         ++ask) {
      const Request request{.ask = static_cast<Ask>(ask),
                            .name = kEd,
                            .public_key = kBytes,
                            .input = kBytes,
                            .capacity = 64,
                            .rule = {"user", "1"}};
      seeds_.push_back(encode(request).bytes());
    }
  }

  /// @return how many messages it has sent.
  int run(TimePoint until) {
    int sent = 0;
    while (Clock::now() < until) {
      auto client = std::make_unique<RawClient>(path_);
      if (!client->connected()) continue;  // not yet there
      for (unsigned more = number(4); more > 0; --more) sent += speak(*client) ? 1 : 0;
      if (number(8) == 0) keep(std::move(client));
    }
    return sent;
  }

 private:
  static constexpr std::array<std::uint8_t, 44> kBytes{0x30, 0x2a};
  static constexpr unsigned kKept = 64;

  /// Below `limit`.
  unsigned number(std::size_t limit) { return static_cast<unsigned>(random_() % limit); }

  bool speak(const RawClient& client) {
    const Bytes message = damaged(seeds_[number(seeds_.size())]);
    std::span<const std::uint8_t> rest(message);
    while (!rest.empty()) {
      const auto piece = rest.first(1 + number(rest.size()));
      if (!client.send(piece)) return false;
      rest = rest.subspan(piece.size());
      if (number(16) == 0) return true;  // and no more of it
    }
    if (number(2) == 0) static_cast<void>(client.receive(milliseconds(20)));
    return true;
  }

  Bytes damaged(Bytes message) {
    for (unsigned times = number(4); times > 0; --times) damage(message);
    return message;
  }
  void damage(Bytes& message) {
    const auto place = message.begin() + number(message.size());
    switch (number(6)) {
      case 0: *place = static_cast<std::uint8_t>(random_()); break;
      case 1: *place = static_cast<std::uint8_t>(*place ^ (1U << number(8))); break;
      case 2: message.insert(place, 1 + number(300), static_cast<std::uint8_t>(random_())); break;
      case 3: message.erase(place, std::min(place + 1 + number(20), message.end())); break;
      case 4: message[number(std::min<std::size_t>(kLengthBytes, message.size()))] = 1; break;
      default: {
        const Bytes& other = seeds_[number(seeds_.size())];
        message.insert(message.end(), other.begin(), other.end());
      }
    }
    if (message.empty()) message.push_back(0);
  }

  /// Open and silent, instead of one that was so before.
  void keep(std::unique_ptr<RawClient> client) {
    if (kept_.size() < kKept) kept_.emplace_back();
    kept_[number(kept_.size())] = std::move(client);
  }

  std::string path_;
  std::mt19937 random_;
  std::vector<Bytes> seeds_;
  std::vector<std::unique_ptr<RawClient>> kept_;
};

TEST_F(ServerTest, WhateverAHostileClientSendsOthersAreServed) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const auto until = Clock::now() + duration();
  const pid_t hostile = ::fork();  // before there are threads
  if (hostile == 0) ::_exit(become(kStranger) && Attack(path_, seed).run(until) > 100 ? 0 : 1);
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  Clock::duration worst{0};
  while (Clock::now() < until) {
    const auto begin = Clock::now();
    ASSERT_FALSE(signing(key).has_value());
    worst = std::max(worst, Clock::now() - begin);
  }
  int status = -1;
  ::waitpid(hostile, &status, 0);
  EXPECT_EQ(status, 0) << "it has hardly said anything";
  EXPECT_LT(worst, seconds(2));
  EXPECT_TRUE(eventually(seconds(3), [&] { return daemon_->server().connections() == 1; }))
      << "nothing of it is left";
  EXPECT_FALSE(signing(key).has_value());
}

}  // namespace
}  // namespace vhsm::keystore
