// SPDX-License-Identifier: Apache-2.0
//
// What a server's workers share: one attestation, whoever of them makes it.
#include "nitride/family.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

using namespace std::chrono_literals;

class FamilyTest : public NitrideTest {
 protected:
  FamilyTest() {
    settings.kbs = {kbs.url()};
    kbs.hold("default/tls/www", "the key of www");
  }

  /// Runs `body` in a child.
  template <class Body>
  static pid_t in_child(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body() ? 0 : 1);
    return child;
  }
  static bool succeeded(pid_t child) {
    int status = -1;
    return ::waitpid(child, &status, 0) == child && status == 0;
  }
  static Session session(const char* cookie, TimePoint expires = Clock::now() + 60s) {
    Session made{{},           "a.b.c", jose::TeeKey::generate().value(), {"n", "m", "t"},
                 Clock::now(), expires};
    made.cookies.take(cookie);
    return made;
  }

  FakeKbs kbs;
};

TEST_F(FamilyTest, FourWorkersForkedBeforeTheFirstFetchMakeOneAttestation) {
  client();
  // They wait for each other: while one is served, a thread of this process holds libcrypto's
  // locks, and a child forked then would never see them released.
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  std::vector<pid_t> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(in_child([&] {
      char byte = 0;
      ::close(gate[1]);
      return ::read(gate[0], &byte, 1) == 0 && outcome() == "the key of www";
    }));
  }
  ::close(gate[1]);
  for (const pid_t worker : workers) EXPECT_TRUE(succeeded(worker));
  ::close(gate[0]);
  EXPECT_EQ(kbs.attests, 1);
  EXPECT_EQ(kbs.resources, 4);
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(kbs.attests, 1) << "the master uses its workers' session";
}

TEST_F(FamilyTest, AfterTheKbsForgotThemWorkersMakeOneMoreAttestation) {
  EXPECT_EQ(outcome(), "the key of www");
  kbs.forget_sessions();
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(succeeded(in_child([&] { return outcome() == "the key of www"; })));
  }
  EXPECT_EQ(kbs.attests, 2);
}

TEST_F(FamilyTest, AWorkerKilledWhileItAttestsLeavesItsTurnToTheOthers) {
  const auto family = Family::create(1);
  ASSERT_TRUE(family.ok());
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t worker = in_child([&] {
    const auto turn = family.value().wait(0, Clock::now() + 5s);
    const bool told = ::write(ready[1], "x", 1) == 1;
    ::pause();
    return told && turn != nullptr;
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(family.value().wait(0, Clock::now() + 50ms), nullptr) << "it has the turn";
  ::kill(worker, SIGKILL);
  EXPECT_NE(family.value().wait(0, Clock::now() + 5s), nullptr);
  ::waitpid(worker, nullptr, 0);
  EXPECT_NE(family.value().wait(0, Clock::now() + 5s), nullptr) << "and it can be had again";
}

TEST_F(FamilyTest, AnothersAttestationThatTakesLongMakesNoKbsLookDead) {
  HeldAttestation held(kbs);
  client();
  const pid_t worker = in_child([&] { return outcome() == "the key of www"; });
  held.wait_for_it();
  for (int hasty = 0; hasty < 2; ++hasty) {
    const auto refused = client().fetch(name_of("default/tls/www"), Clock::now() + 20ms);
    EXPECT_EQ(refused.error().code, Errc::kInUse) << describe(refused.error());
  }
  held.let_go();
  EXPECT_TRUE(succeeded(worker));
  EXPECT_EQ(outcome(), "the key of www");
}

TEST_F(FamilyTest, ASessionIsSharedWholeUntilItEndsOrIsKnownToBeOfNoUse) {
  const auto family = Family::create(1);
  ASSERT_TRUE(family.ok());
  const auto turn = family.value().wait(0, Clock::now() + 1s);
  EXPECT_FALSE(turn->newest(0, TimePoint::min()).has_value());
  Session mine = session("kbs-session-id=abc");
  mine.cookies.take("balancer=node7");
  turn->publish(mine);
  EXPECT_EQ(mine.number, 1U);
  const auto shared = turn->newest(0, TimePoint::min());
  ASSERT_TRUE(shared.has_value());
  EXPECT_EQ(shared->cookies.header(), "kbs-session-id=abc; balancer=node7");
  EXPECT_EQ(shared->tee_key.public_jwk(), mine.tee_key.public_jwk());
  EXPECT_EQ(shared->expires, mine.expires);
  EXPECT_EQ(shared->began, mine.began);
  EXPECT_EQ(shared->token, "a.b.c");
  EXPECT_EQ(shared->facts.nonce + shared->facts.measurement + shared->facts.tcb, "nmt");
  EXPECT_TRUE(turn->newest(0, mine.began).has_value());
  EXPECT_FALSE(turn->newest(0, mine.began + 1ns).has_value()) << "no proof of a later time";
  EXPECT_FALSE(turn->newest(mine.number, TimePoint::min()).has_value());
  Session ended = session("a=b", Clock::now() - 1s);
  turn->publish(ended);
  EXPECT_FALSE(turn->newest(0, TimePoint::min()).has_value());
}

TEST_F(FamilyTest, ASessionTooLargeForItsPlaceIsNotSharedAndNotCutOff) {
  const auto family = Family::create(1);
  ASSERT_TRUE(family.ok());
  const auto turn = family.value().wait(0, Clock::now() + 1s);
  Session large = session("a=b");
  large.token = std::string(64 << 10, 'x');
  turn->publish(large);
  EXPECT_EQ(large.number, 1U);
  EXPECT_FALSE(turn->newest(0, TimePoint::min()).has_value());
}

}  // namespace
}  // namespace vhsm::nitride
