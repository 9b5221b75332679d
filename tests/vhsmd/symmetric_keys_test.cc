// SPDX-License-Identifier: Apache-2.0
//
// Symmetric keys of vhsmd: what survives its end, and what it refuses. That they give what the
// default provider gives is for the tests of the provider to show, which run through vhsmd, too.
#include <gmock/gmock.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <vector>

#include "keystore/symmetric_operation.h"
#include "tests/vhsmd/running_daemon.h"

namespace vhsm::keystore {
namespace {

KeyUri session() { return {KeyName::parse(kSession).value(), ObjectType::kSecret, {}}; }

class SymmetricKeysTest : public ServerTest {
 protected:
  static constexpr std::array<std::uint8_t, 5> kPart{1, 2, 3, 4, 5};

  static std::unique_ptr<SymmetricOperation> begin_hmac(Keystore& keystore) {
    const auto entry = keystore.open(session());
    EXPECT_TRUE(entry.ok()) << describe(entry.error());
    auto operation = keystore.make_operation(kHmac).value();
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    EXPECT_TRUE(operation->set_params(params).ok());
    EXPECT_TRUE(operation->start({.key = entry.value().symmetric}).ok());
    return operation;
  }
  /// Of kPart twice.
  static Bytes expected() {
    const std::string key(32, 's');
    Bytes twice;
    for (int round = 0; round < 2; ++round) {
      for (const std::uint8_t byte : kPart) twice.push_back(byte);
    }
    Bytes code(32);
    EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, key.data(), key.size(), twice.data(),
              twice.size(), code.data(), code.size(), nullptr);
    return code;
  }
  /// What vhsmd says to `request` about the session's key; `known`: with the right fingerprint.
  [[nodiscard]] Errc refusal(Request request, bool known = true) const {
    const auto entry = remote()->open(session());
    request.ask = Ask::kUseSecret;
    request.name = kSession;
    if (known) request.public_key = entry.value().symmetric->fingerprint();
    const RawClient raw = client();
    EXPECT_TRUE(raw.send(encode(request)));
    const auto reply = raw.receive();
    return reply.has_value() && reply->error.has_value() ? reply->error->code : Errc::kInternal;
  }
};

TEST_F(SymmetricKeysTest, AnOperationOutlivesItsServer) {
  start();
  const auto keystore = remote();
  const auto operation = begin_hmac(*keystore);
  ASSERT_TRUE(operation->update(kPart, {}).ok());
  start();
  ASSERT_TRUE(operation->update(kPart, {}).ok());
  Bytes code(32);
  const auto size = operation->finish(code);
  ASSERT_TRUE(size.ok()) << describe(size.error());
  EXPECT_EQ(code, expected());
}

TEST_F(SymmetricKeysTest, ASuccessorIsToldWhichKeysAreSymmetric) {
  start();
  ASSERT_TRUE(remote()->open(session()).ok());
  ASSERT_TRUE(remote()->open(uri(kP256)).ok());
  auto predecessor = Predecessor::connect(path_).value();
  EXPECT_THAT(predecessor.key_names().value(),
              ::testing::ElementsAre(kP256, std::string(kSession) + "?type=secret"));
}

TEST_F(SymmetricKeysTest, ADescribedKeyHasALengthAndNothingElse) {
  start();
  const auto entry = remote()->open(session());
  ASSERT_TRUE(entry.ok()) << describe(entry.error());
  EXPECT_EQ(entry.value().key, nullptr);
  ASSERT_NE(entry.value().symmetric, nullptr);
  EXPECT_EQ(entry.value().symmetric->size(), 32U);
  EXPECT_FALSE(entry.value().symmetric->here());
  EXPECT_FALSE(entry.value().symmetric->open().ok());
}

TEST_F(SymmetricKeysTest, AKeyPairIsNotOpenedAsASymmetricKey) {
  start();
  KeyUri pair = uri(kP256);
  pair.type = ObjectType::kSecret;
  EXPECT_FALSE(remote()->open(pair).ok());
  ASSERT_TRUE(remote()->open(uri(kP256)).ok());
  const auto held = remote()->open(pair);
  ASSERT_FALSE(held.ok());
  EXPECT_EQ(held.error().code, Errc::kMissing);
}

TEST_F(SymmetricKeysTest, ARequestThatDoesNotSayWhichKeyIsMeantIsRefused) {
  start();
  const Bytes other(16, 9);
  const Request request{.capacity = 32, .step = {.algorithm = "HMAC", .last = true}};
  EXPECT_EQ(refusal(request, false), Errc::kNoPrivateKey);
  Request wrong = request;
  wrong.public_key = other;
  EXPECT_EQ(refusal(wrong, false), Errc::kBadFormat);
}

TEST_F(SymmetricKeysTest, AStepThatMakesNoSenseIsRefused) {
  start();
  const Bytes iv(12, 1);
  const Bytes long_input(70000, 2);
  EXPECT_EQ(refusal({.capacity = 32, .step = {.algorithm = "ROT13"}}), Errc::kUnsupported);
  EXPECT_EQ(refusal({.capacity = 32, .step = {.algorithm = "HMAC", .last = true}}), Errc::kCrypto);
  EXPECT_EQ(refusal({.input = iv, .capacity = 32, .step = {.algorithm = "AES-256-GCM"}}),
            Errc::kWrongState);
  EXPECT_EQ(refusal({.input = iv, .capacity = 32, .step = {.algorithm = "AES-128-GCM", .iv = iv}}),
            Errc::kBadLength);
  EXPECT_EQ(refusal({.input = iv, .capacity = 4, .step = {.algorithm = "AES-256-GCM", .iv = iv}}),
            Errc::kBadLength);
  EXPECT_EQ(refusal({.capacity = 15, .step = {.algorithm = "AES-256-GCM", .iv = iv, .last = true}}),
            Errc::kBadLength);
  EXPECT_EQ(refusal({.input = long_input,
                     .capacity = 100000,
                     .step = {.algorithm = "AES-256-GCM", .iv = iv}}),
            Errc::kBadLength);
  EXPECT_EQ(
      refusal({.capacity = 0,
               .step = {.algorithm = "AES-256-GCM", .forwards = false, .iv = iv, .last = true}}),
      Errc::kCrypto);
  EXPECT_TRUE(serves());
}

TEST_F(SymmetricKeysTest, ToPassOverMuchTextHoldsUpNobody) {
  start();
  const Bytes fingerprint = remote()->open(session()).value().symmetric->fingerprint();
  const Bytes iv(12, 1);
  const Message longest =
      encode(Request{.ask = Ask::kUseSecret,
                     .name = kSession,
                     .public_key = fingerprint,
                     .input = iv,
                     .capacity = 32,
                     .step = {.algorithm = "AES-256-GCM", .iv = iv, .skip = kMaxMessageBytes}});
  std::vector<RawClient> busy;
  for (int i = 0; i < 12; ++i) {
    busy.push_back(client());
    ASSERT_TRUE(busy.back().send(longest));
  }
  EXPECT_TRUE(serves());
  EXPECT_LT(std::ranges::count_if(busy, &RawClient::has_answer), 6) << "they were served first";
  for (const RawClient& one : busy) EXPECT_TRUE(one.receive().has_value());
}

TEST_F(SymmetricKeysTest, WithoutAGrantAnotherUserHasNeitherKeyNorOperation) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  start();
  ASSERT_TRUE(remote()->open(session()).ok());
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              const auto refused = remote()->open(session());
              return !refused.ok() && refused.error().code == Errc::kNotGranted ? 0 : 1;
            }),
            0);
  grant_to_stranger(kSession);
  EXPECT_EQ(in_child([&] {
              if (!become(kStranger)) return kSkipped;
              const auto keystore = remote();
              const auto operation = begin_hmac(*keystore);
              Bytes code(32);
              const bool fed =
                  operation->update(kPart, {}).ok() && operation->update(kPart, {}).ok();
              return fed && operation->finish(code).ok() && code == expected() ? 0 : 1;
            }),
            0);
}

}  // namespace
}  // namespace vhsm::keystore
