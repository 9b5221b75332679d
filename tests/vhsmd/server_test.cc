// SPDX-License-Identifier: Apache-2.0
//
// vhsmd's server and its clients on a real socket: hostile ones, many, forked, confined, and those
// who stay while one server takes the place of another.
#include "keystore/daemon/server.h"

#include <grp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <thread>

#include "keystore/daemon/channel.h"
#include "keystore/daemon/listener.h"
#include "keystore/daemon/remote_keystore.h"
#include "keystore/local_key.h"
#include "tests/base/temp_dir.h"
#include "tests/keystore/samples.h"

namespace vhsm::keystore {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Bytes = std::vector<std::uint8_t>;

constexpr uid_t kStranger = 54321;
constexpr int kSkipped = 77;  // exit code of a child that could not do its part
constexpr const char* kP256 = "default/key/p256";
constexpr const char* kRsaKey = "default/key/rsa";
constexpr const char* kEd = "default/key/ed25519";
constexpr const char* kX = "default/key/x25519";
constexpr const char* kSlow = "default/key/slow";

KeyUri uri(const char* name) { return {KeyName::parse(name).value(), {}, {}}; }

bool eventually(milliseconds patience, const std::function<bool()>& holds) {
  const auto deadline = Clock::now() + patience;
  while (!holds()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

/// Runs `body` in a child.  @return its exit code.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool become(uid_t user) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(user, user, user) == 0 &&
         ::setresuid(user, user, user) == 0;
}

/// A KBS with one key of each kind, and one that takes its time.
class Source final : public KeySource {
 public:
  explicit Source(const std::map<std::string, std::string>& pems) : pems_(pems) {}
  Result<SecretBytes> fetch(const KeyName& name,
                            std::chrono::steady_clock::time_point /*deadline*/) override {
    if (name.path() == kSlow) std::this_thread::sleep_for(delay.load());
    const auto found = pems_.find(name.path());
    if (found == pems_.end()) return fail(Errc::kMissing, "no such key", name.uri());
    return SecretBytes::copy(Bytes(found->second.begin(), found->second.end()));
  }
  std::atomic<milliseconds> delay{milliseconds(700)};

 private:
  std::map<std::string, std::string> pems_;
};

/// A server that runs in this process until it is stopped or succeeded.
class Daemon {
 public:
  Daemon(Descriptor listener, std::shared_ptr<Source> source, const Limits& limits) {
    std::shared_ptr<HoldingKeystore> keystore =
        make_memory_keystore(std::move(source), {}, std::make_shared<Metrics>());
    grants_ = Grants::load("", ::geteuid()).value();
    auto service =
        std::make_shared<Service>(keystore, grants_, Log(), [] { return DaemonStatus(); });
    server_ = Server::create(std::move(service), std::move(listener), limits).value();
    thread_ = std::thread([this] {
      server_->run(2);
      ended_ = true;
    });
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    server_->stop();
    thread_.join();
  }
  [[nodiscard]] Server& server() const noexcept { return *server_; }
  [[nodiscard]] Grants& grants() const noexcept { return *grants_; }
  [[nodiscard]] bool ended() const noexcept { return ended_; }

 private:
  std::shared_ptr<Grants> grants_;
  std::unique_ptr<Server> server_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

/// A client that may send what it likes.
class RawClient {
 public:
  explicit RawClient(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const auto* any = reinterpret_cast<const sockaddr*>(&address);
    connected_ = ::connect(socket_.get(), any, sizeof address) == 0;
  }
  [[nodiscard]] bool connected() const noexcept { return connected_; }

  /// @return whether all was taken.
  bool send(ByteView bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    return true;
  }
  bool send(const Message& message) const { return send(ByteView(message.bytes())); }

  /// Sends as much as fits.  @return whether the server has hung up.
  [[nodiscard]] bool send_what_fits(ByteView bytes) const {
    for (;;) {
      const ssize_t sent =
          ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) return errno != EAGAIN;
    }
  }

  /// The next answer; nothing when the server hangs up or does not answer.
  std::optional<Reply> receive(milliseconds patience = seconds(5)) const {
    const auto deadline = Clock::now() + patience;
    std::array<std::uint8_t, kLengthBytes> head{};
    if (!fill(head, deadline)) return std::nullopt;
    Bytes bytes(decode_length(head).value());
    if (!fill(bytes, deadline)) return std::nullopt;
    auto reply = decode_reply(bytes);
    return reply.ok() ? std::optional(std::move(reply).value()) : std::nullopt;
  }

  [[nodiscard]] bool is_hung_up_within(milliseconds patience) const {
    std::uint8_t byte = 0;
    return wait_until_ready(socket_.get(), POLLIN, Clock::now() + patience) &&
           ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) <= 0;
  }

 private:
  bool fill(std::span<std::uint8_t> into, TimePoint deadline) const {
    while (!into.empty()) {
      if (!wait_until_ready(socket_.get(), POLLIN, deadline)) return false;
      const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
      if (got <= 0) return false;
      into = into.subspan(static_cast<std::size_t>(got));
    }
    return true;
  }

  Descriptor socket_;
  bool connected_ = false;
};

class ServerTest : public KeystoreTest {
 protected:
  static void SetUpTestSuite() {
    KeystoreTest::SetUpTestSuite();
    if (!keys_.empty()) return;
    keys_[kP256] = make_key("P-256");
    keys_[kRsaKey] = make_key("RSA2048");
    keys_[kEd] = make_key("ED25519");
    keys_[kX] = make_key("X25519");
    keys_[kSlow] = make_key("P-256");
  }

  ServerTest() { ::chmod(folder_.file("").c_str(), 0755); }  // other users come as well

  void start(const Limits& limits = {}) {
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(listen_at(path_).value(), source(), limits);
  }
  static std::shared_ptr<Source> source() {
    std::map<std::string, std::string> pems;
    for (const auto& [name, key] : keys_) pems[name] = pkcs8_pem(key.get());
    return std::make_shared<Source>(pems);
  }

  void grant_to_stranger(const char* name) const {
    const Rule rule = parse_rule(Rule::Kind::kUser, std::to_string(kStranger)).value();
    ASSERT_TRUE(daemon_->grants().grant(uri(name).name, rule).ok());
  }

  [[nodiscard]] RawClient client() const { return RawClient(path_); }
  [[nodiscard]] std::unique_ptr<RemoteKeystore> remote() const {
    return make_remote_keystore(path_, {milliseconds(1000), milliseconds(3000)},
                                std::make_shared<Metrics>());
  }
  /// Whether somebody else is answered now.
  [[nodiscard]] bool serves() const {
    const RawClient other = client();
    return other.send(encode(Request{})) && other.receive(milliseconds(500)).has_value();
  }
  [[nodiscard]] bool is_idle() const {
    return eventually(seconds(3), [&] { return daemon_->server().connections() == 0; });
  }

  static Bytes public_key(const char* name) {
    return PublicHalf::of(keys_.at(name).get()).value().key_info().value();
  }
  static std::optional<Errc> signing(const KeyPtr& key) {
    const auto operation = key->begin({OperationKind::kSign, "SHA256"});
    if (!operation.ok()) return operation.error().code;
    std::array<std::uint8_t, 128> signature{};
    const auto size = operation.value()->run(kDigest, signature);
    if (!size.ok()) return size.error().code;
    const auto check = key->begin({OperationKind::kVerify, "SHA256"}).value();
    const auto right = check->verify(kDigest, std::span(signature).first(size.value()));
    return right.ok() && right.value() ? std::nullopt : std::optional(Errc::kBadSignature);
  }

  static constexpr std::array<std::uint8_t, 32> kDigest{1, 2, 3};
  static inline std::map<std::string, ossl::PKey> keys_;
  test::TempDir folder_;
  std::string path_ = folder_.file("socket");
  std::unique_ptr<Daemon> daemon_;
};

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

// ---- other users ----

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

TEST_F(ServerTest, AnotherUserCannotTakeOver) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              auto predecessor = Predecessor::connect(path_);
              if (!predecessor.ok()) return 1;
              const auto names = predecessor.value().key_names();
              if (names.ok() || names.error().code != Errc::kNotGranted) return 2;
              const auto taken = predecessor.value().take_over();
              return !taken.ok() && taken.error().code == Errc::kNotGranted ? 0 : 3;
            }),
            0);
  EXPECT_TRUE(serves());
  EXPECT_FALSE(daemon_->server().handed_over());
}

// ---- the end of a server ----

TEST_F(ServerTest, ClientsSeeNothingOfTakeovers) {
  start();
  std::atomic<bool> over{false};
  std::atomic<int> signatures{0};
  std::atomic<int> failures{0};
  std::vector<std::thread> clients;
  const auto keystore = remote();
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!over) {
        const auto fresh = remote();  // and one that has idle connections
        for (Keystore* const asked : {keystore.get(), fresh.get()}) {
          const auto opened = asked->open(uri(kP256));
          const bool failed = !opened.ok() || signing(opened.value().key).has_value();
          ++(failed ? failures : signatures);
        }
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    auto predecessor = Predecessor::connect(path_).value();
    EXPECT_TRUE(predecessor.key_names().ok());
    auto next = std::make_unique<Daemon>(predecessor.take_over().value(), source(), Limits{});
    EXPECT_TRUE(eventually(seconds(5), [&] { return daemon_->ended(); })) << i;
    EXPECT_TRUE(daemon_->server().handed_over());
    daemon_ = std::move(next);
  }
  over = true;
  for (auto& thread : clients) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(signatures, 10);
}

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
  EXPECT_EQ(listen_at(path_).error().code, Errc::kWrongState);
  daemon_.reset();
  EXPECT_TRUE(listen_at(path_).ok()) << "a socket that nobody serves is replaced";
}

// ---- the provider's side ----

TEST_F(ServerTest, KeysSignDecryptAndDeriveAsIfTheyWereHere) {
  start();
  const auto keystore = remote();
  EXPECT_FALSE(signing(keystore->open(uri(kP256)).value().key).has_value());

  const KeyPtr rsa = keystore->open(uri(kRsaKey)).value().key;
  std::array<std::uint8_t, 256> sealed{};
  std::array<std::uint8_t, 256> opened{};
  ASSERT_EQ(rsa->begin({OperationKind::kEncrypt}).value()->run(kDigest, sealed).value(), 256U);
  const auto size = rsa->begin({OperationKind::kDecrypt}).value()->run(sealed, opened);
  ASSERT_TRUE(size.ok()) << describe(size.error());
  EXPECT_TRUE(std::ranges::equal(std::span(opened).first(size.value()), kDigest));

  const KeyPtr here = keystore->open(uri(kX)).value().key;
  const auto other = make_key("X25519");
  const auto peer = std::make_shared<LocalKey>(PublicHalf::of(other.get()).value(), nullptr);
  const auto derivation = here->begin({OperationKind::kDerive}).value();
  ASSERT_TRUE(derivation->set_peer(*peer).ok());
  std::array<std::uint8_t, 32> ours{};
  std::array<std::uint8_t, 32> theirs{};
  ASSERT_TRUE(derivation->run({}, ours).ok());
  const ossl::PKeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, other.get(), nullptr));
  std::size_t theirs_size = theirs.size();
  ASSERT_EQ(EVP_PKEY_derive_init(ctx.get()), 1);
  ASSERT_EQ(EVP_PKEY_derive_set_peer(ctx.get(), keys_[kX].get()), 1);
  ASSERT_EQ(EVP_PKEY_derive(ctx.get(), theirs.data(), &theirs_size), 1);
  EXPECT_EQ(ours, theirs);
}

TEST_F(ServerTest, AStandInOfAnotherKeyIsRefused) {
  start();
  const auto keystore = remote();
  const auto right = keystore->open_stand_in(uri(kP256), kEc, public_key(kP256));
  ASSERT_TRUE(right.ok()) << describe(right.error());
  EXPECT_FALSE(signing(right.value()).has_value());
  EXPECT_EQ(keystore->open_stand_in(uri(kP256), kEc, public_key(kSlow)).error().code,
            Errc::kBadFormat);
}

TEST_F(ServerTest, AKeyThatWasReplacedDoesNotSignForItsPredecessor) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  ASSERT_FALSE(signing(key).has_value());
  std::swap(keys_[kP256], keys_[kSlow]);
  start();
  EXPECT_EQ(signing(key), Errc::kBadFormat);
  std::swap(keys_[kP256], keys_[kSlow]);
}

TEST_F(ServerTest, AChildSignsOnAConnectionOfItsOwn) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  ASSERT_FALSE(signing(key).has_value());
  ASSERT_EQ(daemon_->server().connections(), 1U);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool signs = !signing(key).has_value();
    std::this_thread::sleep_for(milliseconds(300));
    ::_exit(signs && !signing(key).has_value() ? 0 : 1);
  }
  EXPECT_TRUE(eventually(seconds(2), [&] { return daemon_->server().connections() == 2; }));
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(signing(key).has_value());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(signing(key).has_value());
  EXPECT_EQ(daemon_->server().connections(), 1U);
}

TEST_F(ServerTest, AHandleOutlivesItsServer) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(signing(key).has_value()) << i;
    start();
  }
  daemon_.reset();
  std::thread late([this] {
    std::this_thread::sleep_for(milliseconds(500));
    start();
  });
  EXPECT_FALSE(signing(key).has_value()) << "a restart is waited for";
  late.join();
}

TEST_F(ServerTest, ManyThreadsOutliveTheirServer) {
  start();
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  std::atomic<bool> over{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      while (!over) failures += signing(key).has_value() ? 1 : 0;
    });
  }
  for (int i = 0; i < 15; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    start();
  }
  over = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(ServerTest, WhereNobodyServesTheFirstWaitsAndTheNextDoNot) {
  const auto keystore = remote();
  const auto start = Clock::now();
  EXPECT_EQ(keystore->open(uri(kP256)).error().code, Errc::kNoDaemon);
  const auto first = Clock::now();
  EXPECT_GE(first - start, Channel::kPatience);
  EXPECT_LT(first - start, Channel::kPatience + seconds(1));
  EXPECT_EQ(keystore->open(uri(kP256)).error().code, Errc::kNoDaemon);
  EXPECT_LT(Clock::now() - first, milliseconds(100));
}

TEST_F(ServerTest, AConfinedProcessStillFindsTheSocket) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can confine itself";
  start();
  grant_to_stranger(kP256);
  const auto keystore = remote();
  const KeyPtr key = keystore->open(uri(kP256)).value().key;
  const test::TempDir empty;
  EXPECT_EQ(in_child([&] {
              const bool confined = ::chroot(empty.file("").c_str()) == 0 && ::chdir("/") == 0;
              if (!confined || ::chmod("/", 0755) != 0 || !become(kStranger)) return kSkipped;
              if (signing(key).has_value()) return 1;
              return ::access("socket", F_OK) != 0 ? 0 : 2;  // its folder is still the empty one
            }),
            0);
}

}  // namespace
}  // namespace vhsm::keystore
