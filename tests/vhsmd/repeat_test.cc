// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a request whose vhsmd is killed when it has it: what changes nothing is asked
// again, what may have been done is not. (Of operations with key pairs
// ManyThreadsOutliveTheirServer shows it.) Source: docs/vhsmd-protocol.md, "Repeating".
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "keystore/symmetric_operation.h"
#include "tests/vhsmd/running_daemon.h"

namespace vhsm::keystore {
namespace {

/// Serves one client until it has a request, hangs up on it, and goes.
class KilledServer {
 public:
  /// @param then  what happens before the client knows.
  KilledServer(const std::string& path, std::function<void()> then)
      : thread_([listener = listen_at(path).value(), then = std::move(then)]() mutable {
          const Descriptor client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
          std::array<std::uint8_t, 4096> request{};
          EXPECT_GT(::recv(client.get(), request.data(), request.size(), 0), 0);
          listener = Descriptor();
          then();
        }) {}
  KilledServer(const KilledServer&) = delete;
  KilledServer& operator=(const KilledServer&) = delete;
  ~KilledServer() { thread_.join(); }

 private:
  std::thread thread_;
};

KeyUri session() { return {KeyName::parse(kSession).value(), ObjectType::kSecret, {}}; }

/// A refusal of vhsmd's is an answer, too.
template <class T>
bool is_answer(const Result<T>& result) {
  return result.ok() || result.error().code != Errc::kNoDaemon;
}

/// With a key that vhsmd does not know by this fingerprint.
Result<std::size_t> hmac(RemoteKeystore& keystore) {
  const auto operation = VHSM_TRY(keystore.make_operation(kHmac));
  std::string digest = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  VHSM_TRY(operation->set_params(params));
  VHSM_TRY(operation->start({.key = SymmetricKey::remote(session(), 32, Bytes(16, 1))}));
  Bytes code(32);
  return operation->finish(code);
}

struct Question {
  const char* name;
  bool (*is_answered)(RemoteKeystore&);
};
class RequestUnderWayTest : public ServerTest, public ::testing::WithParamInterface<Question> {
 protected:
  /// Asks a vhsmd that is killed; its successor serves when the client learns of that.
  bool is_answered() {
    const auto keystore = remote();
    const KilledServer killed(path_, [this] { start(); });
    return GetParam().is_answered(*keystore);
  }
};
std::string name_of(const ::testing::TestParamInfo<Question>& test) { return test.param.name; }

using QuestionUnderWay = RequestUnderWayTest;
TEST_P(QuestionUnderWay, IsAskedAgain) { EXPECT_TRUE(is_answered()); }

INSTANTIATE_TEST_SUITE_P(
    Each, QuestionUnderWay,
    ::testing::Values(
        Question{"Open", [](auto& asked) { return is_answer(asked.open(uri(kEd))); }},
        Question{"Find", [](auto& asked) { return is_answer(asked.find(uri(kEd))); }},
        Question{"Names", [](auto& asked) { return is_answer(asked.names()); }},
        Question{"List", [](auto& asked) { return is_answer(asked.list()); }},
        Question{"Status", [](auto& asked) { return is_answer(asked.status()); }},
        Question{"Grants", [](auto& asked) { return is_answer(asked.grants("")); }},
        Question{"Release", [](auto& asked) { return is_answer(asked.release(session())); }},
        Question{"Attest", [](auto& asked) { return is_answer(asked.attest(uri(kEd), {})); }},
        Question{"OpenSecret", [](auto& asked) { return is_answer(asked.open(session())); }},
        Question{"UseSecret", [](auto& asked) { return is_answer(hmac(asked)); }}),
    name_of);

using ChangeUnderWay = RequestUnderWayTest;
TEST_P(ChangeUnderWay, IsNotDoneTwice) { EXPECT_FALSE(is_answered()); }

constexpr const char* kFresh = "default/key/fresh";

INSTANTIATE_TEST_SUITE_P(
    Each, ChangeUnderWay,
    ::testing::Values(
        Question{"Generate",
                 [](auto& asked) {
                   const OSSL_PARAM none[] = {OSSL_PARAM_construct_end()};
                   return is_answer(
                       asked.generate(uri(kFresh).name, *find_key_type("ED25519"), none, ""));
                 }},
        Question{"Rotate", [](auto& asked) { return is_answer(asked.rotate(uri(kEd).name)); }},
        Question{"Remove", [](auto& asked) { return is_answer(asked.remove(uri(kEd))); }},
        Question{"Revoke",
                 [](auto& asked) {
                   return is_answer(asked.change(Ask::kRevoke, kEd, {"user", "1"}));
                 }}),
    name_of);

}  // namespace
}  // namespace vhsm::keystore
