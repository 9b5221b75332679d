// SPDX-License-Identifier: Apache-2.0
//
// vhsmd's server on a real socket: what comes in pieces, hostile clients, other users, its end.
#include "keystore/daemon/server.h"

#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "tests/vhsmd/running_daemon.h"

namespace vhsm::keystore {
namespace {

// ---- what comes in any pieces ----

TEST_F(ServerTest, AMessageInPiecesOfOneByteIsAnswered) {
  start();
  const RawClient slow = client();
  const Message request = encode(Request{.ask = Ask::kOpen, .name = kP256});
  for (const std::uint8_t byte : request.bytes()) ASSERT_TRUE(slow.send(ByteView(&byte, 1)));
  const auto reply = slow.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->public_key, public_key(kP256));
}

TEST_F(ServerTest, MessagesInOneWriteAreAnsweredInTheirOrder) {
  start();
  const RawClient hasty = client();
  Bytes both;
  for (const char* name : {kRsaKey, kP256, kEd}) {
    const Message request = encode(Request{.ask = Ask::kOpen, .name = name});
    both.insert(both.end(), request.bytes().begin(), request.bytes().end());
  }
  ASSERT_TRUE(hasty.send(both));
  for (const char* name : {kRsaKey, kP256, kEd}) {
    const auto reply = hasty.receive();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->public_key, public_key(name)) << name;
  }
}

TEST_F(ServerTest, AMessageThatIsSignedAsAWholeMayBeLarge) {
  start();
  const Bytes input(std::size_t{3} << 20, 5);
  const Bytes key = public_key(kEd);
  const RawClient big = client();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(big.send(encode(Request{.ask = Ask::kOperate,
                                        .name = kEd,
                                        .public_key = key,
                                        .kind = OperationKind::kSignMessage,
                                        .input = input,
                                        .capacity = 64})));
    const auto reply = big.receive();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->output.bytes().size(), 64U);
  }
}

// ---- hostile clients ----

Bytes many_requests() {
  const Message request = encode(Request{.ask = Ask::kOpen, .name = kRsaKey});
  Bytes many;
  for (int i = 0; i < 1000; ++i) {
    many.insert(many.end(), request.bytes().begin(), request.bytes().end());
  }
  return many;
}

TEST_F(ServerTest, AWrongLengthEndsTheConnection) {
  start();
  for (const Bytes& head : {Bytes{255, 255, 255, 255}, Bytes{0, 0, 0, 0}}) {
    const RawClient hostile = client();
    ASSERT_TRUE(hostile.send(head));
    EXPECT_TRUE(hostile.is_hung_up_within(seconds(1)));
  }
  EXPECT_TRUE(serves());
}

TEST_F(ServerTest, GarbageIsRefusedAndEndsTheConnection) {
  start();
  const RawClient hostile = client();
  ASSERT_TRUE(hostile.send(Bytes{0, 0, 0, 4, 255, 254, 253, 252}));
  const auto reply = hostile.receive();
  ASSERT_TRUE(reply.has_value() && reply->error.has_value());
  EXPECT_EQ(reply->error->code, Errc::kBadFormat);
  EXPECT_TRUE(hostile.is_hung_up_within(seconds(1)));
  EXPECT_TRUE(serves());
}

TEST_F(ServerTest, HalfAMessageIsNotWaitedForLongAndHoldsUpNobody) {
  start({.message_time = seconds(1)});
  const RawClient idle = client();
  const RawClient hostile = client();
  const Message request = encode(Request{});
  ASSERT_TRUE(hostile.send(ByteView(request.bytes()).first(6)));
  EXPECT_TRUE(serves());
  EXPECT_TRUE(hostile.is_hung_up_within(seconds(4)));
  EXPECT_TRUE(idle.send(request)) << "between two messages there is no hurry";
  EXPECT_TRUE(idle.receive().has_value());
}

TEST_F(ServerTest, AClientThatDoesNotReadItsAnswersIsHungUpOn) {
  start({.message_time = seconds(1)});
  const RawClient hostile = client();
  const Bytes many = many_requests();
  EXPECT_TRUE(eventually(seconds(6), [&] { return hostile.send_what_fits(many); }));
  EXPECT_TRUE(serves());
}

TEST_F(ServerTest, AClientThatLeavesInTheMiddleLeavesNothingBehind) {
  start();
  const Message request = encode(Request{.ask = Ask::kOpen, .name = kSlow});
  for (const std::size_t size : {std::size_t{10}, request.bytes().size()}) {
    {
      const RawClient hostile = client();  // a whole message: its answer waits for a slow KBS
      ASSERT_TRUE(hostile.send(ByteView(request.bytes()).first(size)));
      EXPECT_FALSE(hostile.is_hung_up_within(milliseconds(100)));
    }
    EXPECT_TRUE(serves());
    EXPECT_TRUE(is_idle());
  }
}

TEST_F(ServerTest, AClientThatLeavesInTheMiddleOfALargeMessageGivesItsShareBack) {
  start({.bytes_of_user = std::size_t{1} << 20});
  {
    const RawClient hostile = client();
    ASSERT_TRUE(hostile.send(Bytes{0, 15, 0, 0}));  // 960 KiB
    EXPECT_FALSE(hostile.is_hung_up_within(milliseconds(100)));
  }
  ASSERT_TRUE(is_idle());
  const Bytes input(std::size_t{512} << 10, 5);
  const RawClient next = client();
  static_cast<void>(next.send(encode(Request{.ask = Ask::kOperate, .input = input})));
  EXPECT_TRUE(next.receive().has_value());
}

TEST_F(ServerTest, LargeMessagesOfAUserAreLimitedTogether) {
  start({.bytes_of_user = std::size_t{1} << 20});
  const Bytes head{0, 12, 0, 0};  // 768 KiB
  const RawClient first = client();
  const RawClient second = client();
  ASSERT_TRUE(first.send(head));
  EXPECT_FALSE(first.is_hung_up_within(milliseconds(200)));
  ASSERT_TRUE(second.send(head));
  EXPECT_TRUE(second.is_hung_up_within(seconds(1)));
  EXPECT_TRUE(serves());
}

/// Of this process, resident.
std::size_t memory_bytes() {
  std::size_t size = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_F(ServerTest, TheBufferOfALargeMessageGoesWithItsShare) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep freed memory";
#endif
  constexpr std::size_t kMessages = 24;
  constexpr std::size_t kBytes = std::size_t{8} << 20;
  start({.bytes_of_user = 4 * kBytes});
  const Bytes input(kBytes, 5);
  const Message request = encode(Request{.ask = Ask::kOperate, .input = input});
  const std::size_t before = memory_bytes();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (std::size_t i = 0; i < kMessages; ++i) {
    clients.push_back(std::make_unique<RawClient>(path_));
    ASSERT_TRUE(clients.back()->send(request));
    ASSERT_TRUE(clients.back()->send(Bytes{0}));  // the next one begins
    ASSERT_TRUE(clients.back()->receive().has_value());
  }
  EXPECT_LT(memory_bytes() - before, kMessages * kBytes / 2);
}

// ---- other users ----

/// Whether this process is still answered on a connection that it had before.
bool is_answered(const RawClient& connection) {
  static_cast<void>(connection.send(encode(Request{.ask = Ask::kNames})));
  return connection.receive(milliseconds(500)).has_value();
}

TEST_F(ServerTest, AConnectionThatAChildInheritsIsOfNoUseToIt) {
  start();
  const RawClient opened = client();
  ASSERT_TRUE(is_answered(opened));
  EXPECT_EQ(in_child([&] { return is_answered(opened) ? 1 : 0; }), 0);
  const RawClient unused = client();  // nor one on which nobody has said anything yet
  EXPECT_EQ(in_child([&] { return is_answered(unused) ? 1 : 0; }), 0);
}

TEST_F(ServerTest, AProcessThatGivesRootUpLosesWhatItsConnectionCould) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give root up";
  start();
  EXPECT_EQ(in_child([&] {
              const RawClient opened = client();
              if (!is_answered(opened)) return 1;
              if (!become(kStranger)) return 2;
              return is_answered(opened) ? 3 : 0;
            }),
            0);
}

/// Opens connections and keeps those that are not refused.  @return how many tries went wrong.
int flood(const std::string& path, int count, int told) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < static_cast<rlim_t>(count) + 100 || !become(kStranger)) return kSkipped;
  std::vector<std::unique_ptr<RawClient>> clients;
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<RawClient>(path));
    failed += clients.back()->connected() ? 0 : 1;
  }
  static_cast<void>(::write(told, "x", 1) == 1);
  std::this_thread::sleep_for(milliseconds(300));
  return failed == 0 ? 0 : 1;
}

TEST_F(ServerTest, AFloodOfConnectionsUsesUpItsUsersShareAndDelaysNobody) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  constexpr std::size_t kShare = 2000;
  start({.connections = 4000, .connections_of_user = kShare});
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  std::array<int, 2> told{};
  ASSERT_EQ(::pipe(told.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(flood(path_, 10000, told[1]));
  ::close(told[1]);
  const Descriptor done(told[0]);
  Clock::duration worst{0};
  int signatures = 0;
  while (!wait_until_ready(done.get(), POLLIN, Clock::now())) {
    const auto start = Clock::now();
    ASSERT_FALSE(signing(key).has_value());
    worst = std::max(worst, Clock::now() - start);
    ++signatures;
  }
  EXPECT_LE(daemon_->server().connections(), kShare + 1);
  EXPECT_FALSE(signing(key).has_value());
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WEXITSTATUS(status) == kSkipped) GTEST_SKIP() << "RLIMIT_NOFILE is too low for a flood";
  EXPECT_EQ(status, 0);
  RecordProperty("signatures", signatures);
  RecordProperty("worst_microseconds", static_cast<int>(worst / std::chrono::microseconds(1)));
  EXPECT_GT(signatures, 0);
  EXPECT_LT(worst, seconds(2));
}

TEST_F(ServerTest, AnotherUserGetsWhatItIsGrantedAndNoMore) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  grant_to_stranger(kP256);
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              const auto keystore = remote();
              const auto granted = keystore->open(uri(kP256));
              if (!granted.ok() || signing(granted.value().key).has_value()) return 1;
              const auto refused = keystore->open(uri(kRsaKey));
              if (refused.ok() || refused.error().code != Errc::kNotGranted) return 2;
              const auto listed = keystore->grants({});
              return !listed.ok() && listed.error().code == Errc::kNotGranted ? 0 : 3;
            }),
            0);
}

TEST_F(ServerTest, NamesAndFindAreOfWhatTheAskerMayUse) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  grant_to_stranger(kP256);
  const auto owner = remote();
  for (const char* name : {kP256, kRsaKey}) ASSERT_TRUE(owner->open(uri(name)).ok());
  EXPECT_EQ(owner->names().value().size(), 2U);
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              const auto keystore = remote();
              const auto names = keystore->names();
              if (!names.ok() || names.value() != std::vector{uri(kP256)}) return 1;
              const auto found = keystore->find(uri(kP256));
              if (!found.ok() || signing(found.value()->key).has_value()) return 2;
              const auto refused = keystore->find(uri(kRsaKey));
              return !refused.ok() && refused.error().code == Errc::kNotGranted ? 0 : 3;
            }),
            0);
}

/// This daemon has no platform, so who may ask learns that nobody vouches.
TEST_F(ServerTest, EvidenceOfAKeyIsForWhoMayUseIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  const auto remote_attest = [&](const char* name) {
    const auto evidence = remote()->attest(uri(name), Bytes(16, 1));
    return evidence.ok() ? Errc::kInternal : evidence.error().code;
  };
  EXPECT_EQ(remote_attest(kEd), Errc::kNoPlatform);
  grant_to_stranger(kEd);
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              if (remote_attest(kEd) != Errc::kNoPlatform) return 1;
              return remote_attest(kP256) == Errc::kNotGranted ? 0 : 2;
            }),
            0);
}

TEST_F(ServerTest, FindFetchesNothing) {
  start();
  EXPECT_FALSE(remote()->find(uri(kP256)).value().has_value());
  EXPECT_TRUE(remote()->names().value().empty());
}

TEST_F(ServerTest, OnlyOwnersGenerateAndRemove) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  grant_to_stranger(kP256);
  grant_to_stranger("default/key/new");
  ASSERT_TRUE(remote()->open(uri(kP256)).ok());
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              const auto keystore = remote();
              const auto made = keystore->generate(uri("default/key/new").name, kEd25519, nullptr);
              if (made.ok() || made.error().code != Errc::kNotGranted) return 1;
              const auto removed = keystore->remove(uri(kP256));
              return !removed.ok() && removed.error().code == Errc::kNotGranted ? 0 : 2;
            }),
            0);
  EXPECT_EQ(remote()->names().value(), std::vector{uri(kP256)});
}

TEST_F(ServerTest, AKeyThatItsOwnerGeneratesIsForThoseWithAGrant) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  grant_to_stranger("default/key/new");
  const auto made = remote()->generate(uri("default/key/new").name, kEc, nullptr);
  EXPECT_FALSE(made.ok()) << "without a group";
  std::array<char, 16> group{"P-256"};
  const OSSL_PARAM settings[] = {OSSL_PARAM_construct_utf8_string("group", group.data(), 0),
                                 OSSL_PARAM_construct_end()};
  ASSERT_TRUE(remote()->generate(uri("default/key/new").name, kEc, settings).ok());
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              const auto opened = remote()->open(uri("default/key/new"));
              if (!opened.ok() || signing(opened.value().key).has_value()) return 1;
              return opened.value().key->keeping() == Keeping::kInMemory ? 0 : 2;
            }),
            0);
}

TEST_F(ServerTest, AnotherUserCannotTakeOver) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              auto predecessor = Predecessor::connect(path_);
              if (!predecessor.ok()) return 1;
              const auto names = predecessor.value().key_names();
              if (!names.ok() || !names.value().empty()) return 2;
              const auto taken = predecessor.value().take_over();
              return !taken.ok() && taken.error().code == Errc::kNotGranted ? 0 : 3;
            }),
            0);
  EXPECT_TRUE(serves());
}

// ---- the end of a server ----

TEST_F(ServerTest, StoppingFinishesWhatIsUnderWay) {
  start();
  const RawClient waiting = client();
  ASSERT_TRUE(waiting.send(encode(Request{.ask = Ask::kOpen, .name = kSlow, .wait = seconds(3)})));
  const RawClient idle = client();
  ASSERT_TRUE(eventually(seconds(1), [&] { return daemon_->server().connections() == 2; }));
  std::this_thread::sleep_for(milliseconds(100));
  daemon_->server().stop();
  EXPECT_TRUE(idle.is_hung_up_within(milliseconds(300)));
  const auto reply = waiting.receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->public_key, public_key(kSlow));
  EXPECT_TRUE(eventually(seconds(1), [&] { return daemon_->ended(); }));
}

TEST_F(ServerTest, AClientThatWillNotEndIsGivenUpAfterTheGrace) {
  start({.grace = seconds(1)});
  const RawClient hostile = client();
  EXPECT_FALSE(hostile.send_what_fits(many_requests()));
  std::this_thread::sleep_for(milliseconds(100));
  daemon_->server().stop();
  EXPECT_TRUE(eventually(seconds(3), [&] { return daemon_->ended(); }));
}

TEST_F(ServerTest, ASecondServerOfASocketIsRefused) {
  start();
  EXPECT_EQ(listen_at(path_).error().code, Errc::kInUse);
  daemon_.reset();
  EXPECT_TRUE(listen_at(path_).ok()) << "a socket that nobody serves is replaced";
  const std::string file = path_ + ".file";
  std::ofstream(file) << "precious";
  EXPECT_EQ(listen_at(file).error().code, Errc::kIo);
  EXPECT_EQ(std::filesystem::file_size(file), 8U) << "another file is not";
}

}  // namespace
}  // namespace vhsm::keystore
