// SPDX-License-Identifier: Apache-2.0
//
// The protocol's messages: what is written is read again, and nothing else is.
// Source: docs/vhsmd-protocol.md.
#include "keystore/daemon/message.h"

#include <gtest/gtest.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>
#include <string>

namespace vhsm::keystore {
namespace {

using std::chrono::milliseconds;
using Bytes = std::vector<std::uint8_t>;

// The fields by their numbers on the wire, written down a second time on purpose.
constexpr std::uint64_t kVersionField = 0;
constexpr std::uint64_t kAskField = 1;
constexpr std::uint64_t kNameField = 2;
constexpr std::uint64_t kWaitField = 4;
constexpr std::uint64_t kKindField = 5;
constexpr std::uint64_t kParamsField = 7;
constexpr std::uint64_t kInputField = 9;
constexpr std::uint64_t kRuleField = 11;
constexpr std::uint64_t kErrorField = 12;
constexpr std::uint64_t kStatusField = 15;
constexpr std::uint64_t kLinesField = 16;
constexpr std::uint64_t kKeepingField = 18;
constexpr std::uint64_t kSizeField = 19;
constexpr std::uint64_t kStepField = 20;
constexpr std::uint64_t kLastField = 22;

ByteView body(const Message& message) { return ByteView(message.bytes()).subspan(kLengthBytes); }

/// A message that the test composes: `count` fields, of which the version is the first.
Bytes composed(std::size_t count, const std::function<void(CborWriter&)>& rest,
               std::uint64_t version = kProtocolVersion) {
  Bytes bytes;
  CborWriter writer(bytes);
  writer.map(count);
  writer.number(kVersionField);
  writer.number(version);
  rest(writer);
  return bytes;
}

Bytes with_number(std::uint64_t field, std::uint64_t value) {
  return composed(2, [&](CborWriter& writer) {
    writer.number(field);
    writer.number(value);
  });
}

std::optional<Errc> refusal(ByteView message) {
  const auto request = decode_request(message);
  return request.ok() ? std::nullopt : std::optional(request.error().code);
}
std::optional<Errc> reply_refusal(ByteView message) {
  const auto reply = decode_reply(message);
  return reply.ok() ? std::nullopt : std::optional(reply.error().code);
}

Reply sent(const Reply& reply) {
  const Message message = encode(reply);
  return decode_reply(body(message)).value();
}

/// A request in which nothing has its default.
struct Full {
  Full() {
    std::array params{OSSL_PARAM_construct_utf8_string("digest", digest.data(), 0),
                      OSSL_PARAM_construct_int("saltlen", &salt),
                      OSSL_PARAM_construct_octet_string("label", label.data(), label.size()),
                      OSSL_PARAM_construct_end()};
    EXPECT_TRUE(request.params.add(params.data()).ok());
  }

  std::string digest = "SHA512";
  int salt = -1;
  std::array<std::uint8_t, 3> label{0, 1, 0};
  Bytes public_key = Bytes(91, 0x30);
  Bytes peer = Bytes(44, 0x31);
  Bytes input = Bytes(3000, 0);
  Request request{.ask = Ask::kOperate,
                  .name = "default/tls/www",
                  .public_key = public_key,
                  .wait = milliseconds(2500),
                  .kind = OperationKind::kDerive,
                  .digest = "SHA256",
                  .peer = peer,
                  .input = input,
                  .capacity = 512,
                  .type = "EC",
                  .policy = "operations=sign uses=3",
                  .rule = {"unit", "nginx.service"}};
};

// ---- what is written is read again ----

TEST(Message, EveryFieldOfARequestArrives) {
  const Full full;
  const Message message = encode(full.request);
  const auto got = decode_request(body(message));
  ASSERT_TRUE(got.ok()) << describe(got.error());
  const Request& request = got.value();
  EXPECT_EQ(request.ask, Ask::kOperate);
  EXPECT_EQ(request.name, "default/tls/www");
  EXPECT_TRUE(std::ranges::equal(request.public_key, full.public_key));
  EXPECT_EQ(request.wait, milliseconds(2500));
  EXPECT_EQ(request.kind, OperationKind::kDerive);
  EXPECT_EQ(request.digest, "SHA256");
  EXPECT_TRUE(std::ranges::equal(request.peer, full.peer));
  EXPECT_TRUE(std::ranges::equal(request.input, full.input));
  EXPECT_EQ(request.capacity, 512U);
  EXPECT_EQ(request.type, "EC");
  EXPECT_EQ(request.policy, "operations=sign uses=3");
  EXPECT_EQ(request.rule.kind, "unit");
  EXPECT_EQ(request.rule.value, "nginx.service");
}

TEST(Message, ParametersKeepNameTypeSizeAndOrder) {
  const Full full;
  const Message message = encode(full.request);
  const auto got = decode_request(body(message));
  const auto params = got.value().params.view();
  ASSERT_EQ(params.size(), 4U);
  EXPECT_STREQ(params[0].key, "digest");
  EXPECT_EQ(params[0].data_type, unsigned{OSSL_PARAM_UTF8_STRING});
  EXPECT_EQ(params[0].data_size, 6U);
  EXPECT_STREQ(static_cast<const char*>(params[0].data), "SHA512");
  int salt = 0;
  EXPECT_EQ(OSSL_PARAM_get_int(&params[1], &salt), 1);
  EXPECT_EQ(salt, -1);
  EXPECT_STREQ(params[2].key, "label");
  EXPECT_EQ(params[2].data_size, 3U);
  EXPECT_EQ(params[3].key, nullptr);
}

TEST(Message, AStepWithASymmetricKeyArrives) {
  const Bytes iv(12, 7);
  const Bytes associated(300, 8);
  const Message message = encode(Request{.ask = Ask::kUseSecret,
                                         .name = "default/sym/session",
                                         .step = {.algorithm = "AES-256-GCM",
                                                  .forwards = false,
                                                  .iv = iv,
                                                  .associated = associated,
                                                  .skip = 70000,
                                                  .last = true}});
  const auto got = decode_request(body(message));
  ASSERT_TRUE(got.ok()) << describe(got.error());
  const SymmetricStep& step = got.value().step;
  EXPECT_EQ(step.algorithm, "AES-256-GCM");
  EXPECT_FALSE(step.forwards);
  EXPECT_TRUE(std::ranges::equal(step.iv, iv));
  EXPECT_TRUE(std::ranges::equal(step.associated, associated));
  EXPECT_EQ(step.skip, 70000U);
  EXPECT_TRUE(step.last);
}

TEST(Message, AStepThatSkipsMoreThanAMessageHoldsIsMalformed) {
  const Message message = encode(Request{.ask = Ask::kUseSecret,
                                         .name = "default/sym/session",
                                         .step = {.skip = kMaxMessageBytes + 1}});
  EXPECT_EQ(decode_request(body(message)).error().code, Errc::kBadFormat);
}

TEST(Message, AParameterThatIsSetAgainHasItsNewValueAlone) {
  WireParams params;
  for (int value : {1, 2}) {
    const OSSL_PARAM one[] = {OSSL_PARAM_construct_int("saltlen", &value),
                              OSSL_PARAM_construct_end()};
    ASSERT_TRUE(params.add(one).ok());
  }
  const auto view = params.view();
  ASSERT_EQ(view.size(), 2U);
  int value = 0;
  EXPECT_EQ(OSSL_PARAM_get_int(view.data(), &value), 1);
  EXPECT_EQ(value, 2);
}

TEST(Message, EveryAskArrives) {
  for (auto number = std::uint8_t{1}; number <= static_cast<std::uint8_t>(Ask::kLast); ++number) {
    const Message message = encode(Request{.ask = static_cast<Ask>(number)});
    EXPECT_EQ(decode_request(body(message)).value().ask, static_cast<Ask>(number));
  }
}

TEST(Message, KeysOutputCertificatesAndLinesOfAReplyArrive) {
  Reply reply;
  reply.public_key = Bytes(294, 1);
  reply.certificates = {Bytes(1000, 2), Bytes(), Bytes(1, 3)};
  reply.keeping = Keeping::kInMemory;
  reply.output.bytes() = Bytes(256, 4);
  reply.lines = {"default/tls/www user 33", "", "* group 0"};
  const Reply got = sent(reply);
  EXPECT_FALSE(got.error.has_value());
  EXPECT_EQ(got.public_key, reply.public_key);
  EXPECT_EQ(got.certificates, reply.certificates);
  EXPECT_EQ(got.keeping, Keeping::kInMemory);
  EXPECT_EQ(got.output.bytes(), reply.output.bytes());
  EXPECT_EQ(got.lines, reply.lines);
}

TEST(Message, EveryNumberOfAStatusArrivesInItsPlace) {
  Reply reply;
  reply.status = DaemonStatus{"vhsmd 1", "mlock", "sev-snp", 1, 2, 3, 4, 5, 6, 7, 8, UINT64_MAX};
  const auto got = sent(reply).status;
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->version, "vhsmd 1");
  EXPECT_EQ(got->memory, "mlock");
  EXPECT_EQ(got->platform, "sev-snp");
  const std::array numbers{
      got->process, got->uptime_seconds, got->keys,       got->connections,
      got->fetches, got->reports,        got->operations, got->memory_in_use_bytes};
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], i + 1);
  EXPECT_EQ(got->memory_capacity_bytes, UINT64_MAX);
}

TEST(Message, AnErrorArrivesWithItsCodeAndBecomesASubject) {
  Reply reply;
  reply.error = fail(Errc::kDenied, "the policy says no", "vhsm:default/tls/www");
  const auto got = sent(reply).error;
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->code, Errc::kDenied);
  EXPECT_EQ(got->subject.text(),
            std::string("vhsm:default/tls/www: the policy says no (") + cure(Errc::kDenied) + ")");
}

TEST(Message, AnErrorArrivesWithItsOwnCure) {
  Reply reply;
  reply.error = fail(Errc::kPolicy, "the key is disabled", "vhsm:default/a").cured_by("enable it");
  EXPECT_EQ(sent(reply).error->subject.text(), "vhsm:default/a: the key is disabled (enable it)");
}

TEST(Message, ALongSubjectLeavesRoomForTheSentence) {
  Reply reply;
  reply.error = fail(Errc::kDenied, "the policy says no", std::string(500, 'k'));
  EXPECT_NE(sent(reply).error->subject.text().find("the policy says no"), std::string_view::npos);
}

TEST(Message, AReplyWithAnErrorCarriesNothingElse) {
  Reply reply;
  reply.error = fail(Errc::kDenied, "no");
  reply.output.bytes() = Bytes(32, 1);
  reply.public_key = Bytes(32, 1);
  const Reply got = sent(reply);
  EXPECT_TRUE(got.output.bytes().empty());
  EXPECT_TRUE(got.public_key.empty());
}

TEST(Message, ASignatureRequestFillsOneAllocation) {
  const Bytes input(100000, 7);
  const Message message = encode(Request{.ask = Ask::kOperate, .name = "a/b/c", .input = input});
  EXPECT_LE(message.bytes().capacity(), input.size() + 1024) << "a copy was left behind";
}

// ---- lengths ----

TEST(Message, TheLengthInFrontIsThatOfTheRest) {
  const Message message = encode(Full().request);
  const auto head = std::span(message.bytes()).first<kLengthBytes>();
  EXPECT_EQ(decode_length(head).value(), message.bytes().size() - kLengthBytes);
}

struct LengthCase {
  const char* name;
  std::array<std::uint8_t, kLengthBytes> head;
  bool accepted;
};

class MessageLengthTest : public ::testing::TestWithParam<LengthCase> {};

TEST_P(MessageLengthTest, IsAcceptedWithinTheLimits) {
  EXPECT_EQ(decode_length(GetParam().head).ok(), GetParam().accepted);
}

INSTANTIATE_TEST_SUITE_P(Lengths, MessageLengthTest,
                         ::testing::Values(LengthCase{"Nothing", {0, 0, 0, 0}, false},
                                           LengthCase{"One", {0, 0, 0, 1}, true},
                                           LengthCase{"Most", {4, 0, 0, 0}, true},
                                           LengthCase{"OneMore", {4, 0, 0, 1}, false},
                                           LengthCase{"SignBit", {128, 0, 0, 0}, false},
                                           LengthCase{"FourGiB", {255, 255, 255, 255}, false}),
                         [](const auto& test) { return test.param.name; });

// ---- what is refused ----

TEST(Message, TruncatedAnywhereIsRefused) {
  const Full full;
  const Message message = encode(full.request);
  const ByteView whole = body(message);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_EQ(refusal(whole.first(size)), Errc::kBadFormat) << size;
  }
}

TEST(Message, AReplyTruncatedAnywhereIsRefused) {
  Reply reply;
  reply.public_key = Bytes(30, 1);
  reply.certificates = {Bytes(30, 2)};
  reply.lines = {"a", "b"};
  reply.status = DaemonStatus{};
  const Message message = encode(reply);
  const ByteView whole = body(message);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_EQ(reply_refusal(whole.first(size)), Errc::kBadFormat) << size;
  }
}

TEST(Message, BytesBehindItAreRefused) {
  const Message message = encode(Request{.ask = Ask::kStatus});
  Bytes longer(body(message).begin(), body(message).end());
  EXPECT_FALSE(refusal(longer).has_value());
  longer.push_back(0);
  EXPECT_EQ(refusal(longer), Errc::kBadFormat);
  EXPECT_EQ(reply_refusal(longer), Errc::kBadFormat);
}

TEST(Message, AnotherVersionIsToldApartFromGarbage) {
  const auto nothing = [](CborWriter&) {};
  EXPECT_FALSE(refusal(composed(1, nothing)).has_value());
  EXPECT_EQ(refusal(composed(1, nothing, 0)), Errc::kNoDaemon);
  EXPECT_EQ(refusal(composed(1, nothing, kProtocolVersion + 1)), Errc::kNoDaemon);
  EXPECT_EQ(reply_refusal(composed(1, nothing, kProtocolVersion + 1)), Errc::kNoDaemon);
}

TEST(Message, AnotherVersionMayHaveFieldsThatThisOneDoesNotKnow) {
  const Bytes message = composed(
      2,
      [](CborWriter& writer) {
        writer.number(99);
        writer.number(1);
      },
      kProtocolVersion + 1);
  EXPECT_EQ(refusal(message), Errc::kNoDaemon);
}

TEST(Message, WithoutAVersionIsRefused) {
  EXPECT_EQ(refusal(Bytes{0xa0}), Errc::kBadFormat);              // {}
  EXPECT_EQ(refusal(Bytes{0xa1, 0x01, 0x03}), Errc::kBadFormat);  // {1: 3}
}

TEST(Message, AnUnknownFieldIsRefused) {
  EXPECT_EQ(refusal(with_number(kLastField + 1, 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(UINT64_MAX, 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x20, 0x01}), Errc::kBadFormat);  // {0: 1, -1: 1}
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x61, 'a', 0x01}), Errc::kBadFormat);
}

TEST(Message, AFieldTwiceIsRefused) {
  const Bytes asks = composed(3, [](CborWriter& writer) {
    for (int i = 0; i < 2; ++i) {
      writer.number(kAskField);
      writer.number(1);
    }
  });
  EXPECT_EQ(refusal(asks), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kVersionField, kProtocolVersion)), Errc::kBadFormat);
}

TEST(Message, FieldsOfTheOtherDirectionAreRefused) {
  const Message request = encode(Full().request);
  EXPECT_EQ(reply_refusal(body(request)), Errc::kBadFormat);
  Reply reply;
  reply.output.bytes() = Bytes(1, 1);
  const Message answer = encode(reply);
  EXPECT_EQ(refusal(body(answer)), Errc::kBadFormat);
}

TEST(Message, IndefiniteLengthsAreRefused) {
  EXPECT_EQ(refusal(Bytes{0xbf, 0x00, 0x01, 0xff}), Errc::kBadFormat);  // {_ 0: 1}
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x02, 0x7f, 0x61, 'a', 0xff}), Errc::kBadFormat);
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x09, 0x5f, 0x41, 0x00, 0xff}), Errc::kBadFormat);
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x0b, 0x9f, 0x61, 'a', 0x61, 'b', 0xff}),
            Errc::kBadFormat);
}

TEST(Message, ItemsOfAnotherKindAreRefused) {
  EXPECT_EQ(refusal(with_number(kNameField, 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kInputField, 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kRuleField, 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kStepField, 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kParamsField, 1)), Errc::kBadFormat);
  EXPECT_EQ(reply_refusal(with_number(kStatusField, 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x01, 0xf5}), Errc::kBadFormat);              // true
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x01, 0xf6}), Errc::kBadFormat);              // null
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x01, 0xc1, 0x01}), Errc::kBadFormat);        // a tag
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x01, 0xf9, 0x3c, 0x00}), Errc::kBadFormat);  // 1.0
  EXPECT_EQ(refusal(Bytes{0x81, 0x00}), Errc::kBadFormat);  // an array
}

TEST(Message, NumbersOutOfRangeAreRefused) {
  EXPECT_EQ(reply_refusal(with_number(kSizeField, 0)), Errc::kBadFormat);
  EXPECT_EQ(reply_refusal(with_number(kSizeField, kMaxReleasedBytes + 1)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kAskField, 0)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kAskField, static_cast<std::uint64_t>(Ask::kLast) + 1)),
            Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kAskField, 257)), Errc::kBadFormat) << "cut to a byte it is 1";
  EXPECT_FALSE(refusal(with_number(kKindField, 6)).has_value());
  EXPECT_EQ(refusal(with_number(kKindField, 11)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kKindField, 256)), Errc::kBadFormat);
  EXPECT_EQ(refusal(with_number(kWaitField, UINT64_MAX)), Errc::kBadFormat);
}

TEST(Message, CountsBeyondTheMessageAreRefused) {
  EXPECT_EQ(refusal(Bytes{0xbb, 255, 255, 255, 255, 255, 255, 255, 255, 0, 1}), Errc::kBadFormat);
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x07, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255}),
            Errc::kBadFormat);
  EXPECT_EQ(refusal(Bytes{0xa2, 0x00, 0x01, 0x09, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255}),
            Errc::kBadFormat);
}

Bytes with_texts(std::uint64_t field, std::size_t count) {
  return composed(2, [&](CborWriter& writer) {
    writer.number(field);
    writer.array(count);
    for (std::size_t i = 0; i < count; ++i) writer.text("user");
  });
}

TEST(Message, ARuleHasTwoParts) {
  EXPECT_EQ(refusal(with_texts(kRuleField, 1)), Errc::kBadFormat);
  EXPECT_FALSE(refusal(with_texts(kRuleField, 2)).has_value());
  EXPECT_EQ(refusal(with_texts(kRuleField, 3)), Errc::kBadFormat);
}

Bytes with_error(std::uint64_t code, std::size_t parts) {
  return composed(2, [&](CborWriter& writer) {
    writer.number(kErrorField);
    writer.array(parts);
    writer.number(code);
    for (std::size_t i = 1; i < parts; ++i) writer.text("words");
  });
}

TEST(Message, AnErrorHasThreePartsAndACodeThatExists) {
  constexpr auto kLast = static_cast<std::uint64_t>(Errc::kLast);
  EXPECT_FALSE(reply_refusal(with_error(1, 3)).has_value());
  EXPECT_FALSE(reply_refusal(with_error(kLast, 3)).has_value());
  EXPECT_EQ(reply_refusal(with_error(0, 3)), Errc::kBadFormat);
  EXPECT_EQ(reply_refusal(with_error(kLast + 1, 3)), Errc::kBadFormat);
  EXPECT_EQ(reply_refusal(with_error(257, 3)), Errc::kBadFormat);
  EXPECT_EQ(reply_refusal(with_error(1, 2)), Errc::kBadFormat);
  EXPECT_EQ(reply_refusal(with_error(1, 4)), Errc::kBadFormat);
}

// ---- parameters ----

struct WireParam {
  std::string name = "saltlen";
  std::uint64_t type = OSSL_PARAM_OCTET_STRING;
  std::size_t value_bytes = 1;
};

std::optional<Errc> params_refusal(std::size_t count, const WireParam& param = {},
                                   std::size_t parts = 3) {
  return refusal(composed(2, [&](CborWriter& writer) {
    writer.number(kParamsField);
    writer.array(count);
    for (std::size_t i = 0; i < count; ++i) {
      writer.array(parts);
      writer.text(param.name);
      writer.number(param.type);
      writer.bytes(Bytes(param.value_bytes, 1));
      for (std::size_t more = 3; more < parts; ++more) writer.number(0);
    }
  }));
}

TEST(WireParams, KeepTheirLimits) {
  const std::string longest(WireParams::kMaxNameBytes, 'n');
  EXPECT_FALSE(params_refusal(WireParams::kMaxCount).has_value());
  EXPECT_EQ(params_refusal(WireParams::kMaxCount + 1), Errc::kUnsupported);
  EXPECT_FALSE(params_refusal(1, {.name = longest}).has_value());
  EXPECT_EQ(params_refusal(1, {.name = longest + "n"}), Errc::kUnsupported);
  EXPECT_FALSE(params_refusal(1, {.value_bytes = WireParams::kMaxValueBytes}).has_value());
  EXPECT_EQ(params_refusal(1, {.value_bytes = WireParams::kMaxValueBytes + 1}), Errc::kUnsupported);
}

TEST(WireParams, PointersAndUnknownTypesAreRefusedOnReceiving) {
  for (const auto type :
       {std::uint64_t{OSSL_PARAM_INTEGER}, std::uint64_t{OSSL_PARAM_UNSIGNED_INTEGER},
        std::uint64_t{OSSL_PARAM_UTF8_STRING}, std::uint64_t{OSSL_PARAM_OCTET_STRING}}) {
    EXPECT_FALSE(params_refusal(1, {.type = type}).has_value()) << type;
  }
  const std::uint64_t wraps_to_integer = (std::uint64_t{1} << 32) + OSSL_PARAM_INTEGER;
  for (const std::uint64_t type :
       {std::uint64_t{0}, std::uint64_t{OSSL_PARAM_REAL}, std::uint64_t{OSSL_PARAM_UTF8_PTR},
        std::uint64_t{OSSL_PARAM_OCTET_PTR}, std::uint64_t{8}, wraps_to_integer, UINT64_MAX}) {
    EXPECT_EQ(params_refusal(1, {.type = type}), Errc::kUnsupported) << type;
  }
}

TEST(WireParams, ANameWithANullByteIsRefused) {
  EXPECT_EQ(params_refusal(1, {.name = std::string("salt\0len", 8)}), Errc::kUnsupported);
}

TEST(WireParams, AParameterHasThreeParts) {
  EXPECT_EQ(params_refusal(1, {}, 4), Errc::kBadFormat);
  EXPECT_EQ(refusal(composed(2,
                             [](CborWriter& writer) {
                               writer.number(kParamsField);
                               writer.array(1);
                               writer.array(2);
                               writer.text("n");
                               writer.number(1);
                             })),
            Errc::kBadFormat);
}

TEST(WireParams, PointersAreFollowedOnSending) {
  std::string digest = "SHA256";
  std::array<std::uint8_t, 4> label{1, 2, 3, 4};
  char* digest_pointer = digest.data();
  void* label_pointer = label.data();
  std::array given{OSSL_PARAM_construct_utf8_ptr("digest", &digest_pointer, 0),
                   OSSL_PARAM_construct_octet_ptr("label", &label_pointer, label.size()),
                   OSSL_PARAM_construct_end()};
  WireParams params;
  ASSERT_TRUE(params.add(given.data()).ok());
  digest = "??????";  // what is kept are copies
  label = {};
  const auto kept = params.view();
  EXPECT_EQ(kept[0].data_type, unsigned{OSSL_PARAM_UTF8_STRING});
  EXPECT_STREQ(static_cast<const char*>(kept[0].data), "SHA256");
  EXPECT_EQ(kept[1].data_type, unsigned{OSSL_PARAM_OCTET_STRING});
  ASSERT_EQ(kept[1].data_size, 4U);
  EXPECT_EQ(static_cast<const std::uint8_t*>(kept[1].data)[3], 4);
}

TEST(WireParams, NullValuesAreEmpty) {
  char* nothing = nullptr;
  std::array given{OSSL_PARAM_construct_utf8_ptr("digest", &nothing, 0),
                   OSSL_PARAM_construct_octet_string("label", nullptr, 0),
                   OSSL_PARAM_construct_end()};
  WireParams params;
  ASSERT_TRUE(params.add(given.data()).ok());
  EXPECT_EQ(params.view()[0].data_size, 0U);
  EXPECT_NE(params.view()[1].data, nullptr);
}

TEST(WireParams, ARealNumberIsNotSent) {
  double value = 1;
  const std::array given{OSSL_PARAM_construct_double("real", &value), OSSL_PARAM_construct_end()};
  WireParams params;
  const Status added = params.add(given.data());
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, Errc::kUnsupported);
  EXPECT_EQ(added.error().subject.text(), "real");
}

}  // namespace
}  // namespace vhsm::keystore
