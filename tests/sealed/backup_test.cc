// SPDX-License-Identifier: Apache-2.0
//
// A key goes from one folder to another one that has proved itself, and in no other way.
#include "keystore/backup.h"

#include <gmock/gmock.h>

#include <functional>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/json.h"
#include "jose/jwe.h"
#include "keystore/key_policy.h"
#include "tests/sealed/one_key.h"
#include "tests/sealed/test_witness.h"

namespace vhsm::keystore {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kSign = OperationKind::kSign;
constexpr auto kDerive = OperationKind::kDerive;
constexpr const char* kMayLeave = "operations=sign backup=attested";

KeyUri receiver_uri() { return {KeyName::parse("default/backup/in").value(), {}, {}}; }
KeyUri other_uri() { return {KeyName::parse("default/app/other").value(), {}, {}}; }

/// A keystore with a folder of its own.
struct Place {
  explicit Place(const std::string& path, const std::string& audit) {
    EXPECT_TRUE(sealed::make_folder(path).ok());
    EXPECT_TRUE(
        sealed::Folder::create(*sealed::open_files(path).value(), sealed::two_slots()).ok());
    auto records = std::make_shared<Records>(Records{{}, AuditLog(LineFile::open(audit).value())});
    keystore = make_memory_keystore(
        nullptr, {}, std::make_shared<Metrics>(), {}, std::move(records),
        std::make_shared<sealed::Folder>(sealed::open_files(path).value(),
                                         std::make_shared<sealed::TestKeys>("a")),
        nullptr, witness);
  }
  void generate(const KeyUri& uri, const char* algorithm, std::string_view policy) const {
    auto parsed = AlgorithmText::parse(algorithm).value();
    const auto made = keystore->generate(uri.name, *parsed.type(), parsed.settings(), policy);
    ASSERT_TRUE(made.ok()) << describe(made.error());
  }
  [[nodiscard]] KeyClaims claims(const KeyUri& uri) const {
    const auto evidence = keystore->attest(uri, {});
    EXPECT_TRUE(evidence.ok()) << describe(evidence.error());
    return witness->claims;
  }
  [[nodiscard]] std::vector<std::uint8_t> public_half(const KeyUri& uri) const {
    return keystore->open(uri).value().public_key_info;
  }

  std::shared_ptr<TestWitness> witness = std::make_shared<TestWitness>();
  std::unique_ptr<HoldingKeystore> keystore;
};

class BackupTest : public KeystoreTest {
 protected:
  static KeyUri uri() { return {KeyName::parse("default/app/key").value(), {}, {}}; }

  Place place(const std::string& name) const {
    return Place(temporary_.file(name), temporary_.file(name + ".audit"));
  }
  /// A key in `here_` that may leave, and one in `there_` that receives it.
  void make_both(const char* algorithm = "EC:P-256", const char* receiver = "EC:P-256") {
    here_.generate(uri(), algorithm, kMayLeave);
    there_.generate(receiver_uri(), receiver, kRestorePolicy);
  }
  [[nodiscard]] Result<std::string> back_up(const KeyUri& which) const {
    return here_.keystore->backup(which, {there_.claims(receiver_uri()), "abcd"});
  }
  [[nodiscard]] Result<std::string> back_up() const { return back_up(uri()); }
  /// Refused, and nothing is in the folder but what receives.
  void expect_not_restored(const std::string& backup, Errc code) const {
    const auto restored = there_.keystore->restore(backup, std::nullopt);
    ASSERT_FALSE(restored.ok()) << backup;
    EXPECT_EQ(restored.error().code, code) << describe(restored.error()) << backup;
    EXPECT_THAT(there_.keystore->list().value(), SizeIs(1));
  }

  const test::TempDir temporary_;
  Place here_ = place("here");
  Place there_ = place("there");
};

struct Kinds {
  const char* key;
  const char* receiver;
};

class BackupKindTest : public BackupTest, public ::testing::WithParamInterface<Kinds> {};

TEST_P(BackupKindTest, AKeyThatMayLeaveComesBackWithItsPublicHalfAndPolicy) {
  make_both(GetParam().key, GetParam().receiver);
  const auto backup = back_up();
  ASSERT_TRUE(backup.ok()) << describe(backup.error());
  const auto restored = there_.keystore->restore(backup.value(), std::nullopt);
  ASSERT_TRUE(restored.ok()) << describe(restored.error());
  EXPECT_EQ(restored.value().name, uri().name);
  EXPECT_EQ(restored.value().policy, kMayLeave);
  EXPECT_EQ(restored.value().origin, sealed::Origin::kRestored);
  EXPECT_EQ(there_.public_half(uri()), here_.public_half(uri()));
}

INSTANTIATE_TEST_SUITE_P(Each, BackupKindTest,
                         ::testing::Values(Kinds{"EC:P-256", "EC:P-256"},
                                           Kinds{"RSA:2048", "EC:P-521"},
                                           Kinds{"ED25519", "RSA:2048"}));

TEST_F(BackupTest, ARestoredKeyIsHeldToThePolicyThatCameWithIt) {
  make_both();
  ASSERT_TRUE(there_.keystore->restore(back_up().value(), std::nullopt).ok());
  const auto key = there_.keystore->open(uri()).value().key;
  EXPECT_TRUE(do_with(*key, {kSign}).ok());
  EXPECT_EQ(do_with(*key, {kDerive, ""}).error().code, Errc::kPolicy);
}

TEST_F(BackupTest, EvidenceOfARestoredKeySaysSo) {
  make_both();
  EXPECT_EQ(here_.claims(uri()).origin, KeyOrigin::kGenerated);
  ASSERT_TRUE(there_.keystore->restore(back_up().value(), std::nullopt).ok());
  EXPECT_EQ(there_.claims(uri()).origin, KeyOrigin::kRestored);
  EXPECT_EQ(there_.claims(uri()).policy, kMayLeave);
  ASSERT_TRUE(there_.keystore->rotate(uri().name).ok());
  EXPECT_EQ(there_.claims(uri()).origin, KeyOrigin::kGenerated);
}

TEST_F(BackupTest, AnOlderVersionLeavesWhenItIsNamed) {
  make_both();
  const auto first = here_.public_half(uri());
  ASSERT_TRUE(here_.keystore->rotate(uri().name).ok());
  KeyUri older = uri();
  older.version = 1;
  ASSERT_TRUE(there_.keystore->restore(back_up(older).value(), other_uri().name).ok());
  EXPECT_EQ(there_.public_half(other_uri()), first);
  ASSERT_TRUE(there_.keystore->restore(back_up().value(), std::nullopt).ok());
  EXPECT_EQ(there_.public_half(uri()), here_.public_half(uri()));
}

TEST_F(BackupTest, ASymmetricKeyComesBackWithItsBytesAndPolicy) {
  make_both();
  const KeyUri secret{other_uri().name, ObjectType::kSecret, {}};
  const auto stored = sealed::secret("thirty-two bytes of a secret key");
  ASSERT_TRUE(
      here_.keystore->import(secret, stored, {.policy = "operations=unwrap backup=attested"}).ok());
  const auto backup = back_up(other_uri());
  ASSERT_TRUE(backup.ok()) << describe(backup.error());
  const auto restored = there_.keystore->restore(backup.value(), std::nullopt);
  ASSERT_TRUE(restored.ok()) << describe(restored.error());
  EXPECT_TRUE(restored.value().symmetric);
  EXPECT_EQ(restored.value().policy, "operations=unwrap backup=attested");
  const auto folder = sealed::Folder(sealed::open_files(temporary_.file("there")).value(),
                                     std::make_shared<sealed::TestKeys>("a"))
                          .open(other_uri().name.path(), {}, sealed::soon());
  EXPECT_EQ(sealed::clear(folder.value().content), "thirty-two bytes of a secret key");
  EXPECT_EQ(there_.keystore->rotate(other_uri().name).error().code, Errc::kUnsupported);
}

// ----- what may leave ----------------------------------------------------------------------------

TEST_F(BackupTest, AKeyThatWasMadeWithoutTheRuleNeverLeaves) {
  make_both();
  for (const char* const policy : {"", "operations=sign", "operations=restore"}) {
    ASSERT_TRUE(here_.keystore->remove(uri()).ok());
    here_.generate(uri(), "EC:P-256", policy);
    const auto refused = back_up();
    ASSERT_FALSE(refused.ok()) << policy;
    EXPECT_EQ(refused.error().code, Errc::kPolicy);
    EXPECT_THAT(describe(refused.error()), HasSubstr("backup=attested"));
  }
}

TEST_F(BackupTest, HowAKeyMayLeaveIsSaidWhenItIsMadeAndNeverAgain) {
  const auto changed = [&](const char* from, const char* to) {
    here_.generate(uri(), "EC:P-256", from);
    const Status set = here_.keystore->set_policy(uri(), to);
    const std::string now = here_.keystore->list().value().back().policy;
    EXPECT_EQ(now, set.ok() ? to : from);
    EXPECT_THAT(set.ok() ? uri().text() : describe(set.error()), HasSubstr(uri().text()));
    EXPECT_TRUE(here_.keystore->remove(uri()).ok());
    return set.ok() ? std::optional<Errc>() : set.error().code;
  };
  EXPECT_EQ(changed("", "backup=attested"), Errc::kPolicy);
  EXPECT_EQ(changed("backup=attested", ""), Errc::kPolicy);
  EXPECT_EQ(changed("", "operations=restore"), Errc::kPolicy);
  EXPECT_EQ(changed("operations=restore", ""), Errc::kPolicy);
  EXPECT_EQ(changed("operations=restore", "operations=derive"), Errc::kPolicy);
  EXPECT_EQ(changed("backup=attested", "operations=sign backup=attested"), std::nullopt);
  EXPECT_EQ(changed("operations=sign", "operations=derive"), std::nullopt);
}

TEST_F(BackupTest, APolicyForAllVersionsIsRefusedIfItIsWrongForOneOfThem) {
  here_.generate(uri(), "EC:P-256", "");
  const auto pem = pkcs8_pem(make_key("P-256").get());
  ASSERT_TRUE(
      here_.keystore
          ->import(uri(), sealed::secret(pem), {.successor = true, .policy = "backup=attested"})
          .ok());
  EXPECT_FALSE(here_.keystore->set_policy(uri(), "operations=sign").ok());
  EXPECT_FALSE(here_.keystore->set_policy(uri(), "operations=sign backup=attested").ok());
  KeyUri first = uri();
  first.version = 1;
  EXPECT_TRUE(here_.keystore->set_policy(first, "operations=sign").ok());
}

TEST_F(BackupTest, WhatIsNotAKeyOfTheFolderThatMayLeaveStays) {
  make_both();
  EXPECT_EQ(back_up(other_uri()).error().code, Errc::kMissing) << "the KBS's, or nobody's";
  ASSERT_TRUE(here_.keystore->generate_secret(other_uri().name, 32, "operations=sign").ok());
  EXPECT_EQ(back_up(other_uri()).error().code, Errc::kPolicy);
  ASSERT_TRUE(here_.keystore->set_enabled(uri(), false).ok());
  EXPECT_EQ(back_up().error().code, Errc::kPolicy) << "it is disabled";
  const auto memory = make_memory_keystore(nullptr, {}, std::make_shared<Metrics>());
  EXPECT_EQ(memory->backup(uri(), {there_.claims(receiver_uri()), ""}).error().code,
            Errc::kUnsupported);
}

TEST_F(BackupTest, AKeyDoesNotLeaveWhileItsGateIsClosed) {
  make_both();
  ASSERT_TRUE(here_.keystore->set_policy(uri(), "gate=first-use backup=attested").ok());
  EXPECT_FALSE(back_up().ok()) << "there is no KBS to prove this VM to";
  ASSERT_TRUE(here_.keystore->set_policy(uri(), "backup=attested").ok());
  EXPECT_TRUE(back_up().ok());
}

// ----- to whom -----------------------------------------------------------------------------------

TEST_F(BackupTest, AKeyThatOpensBackupsDoesNothingElse) {
  for (const char* const algorithm : {"EC:P-256", "RSA:2048"}) {
    there_.generate(receiver_uri(), algorithm, kRestorePolicy);
    const auto key = there_.keystore->open(receiver_uri()).value().key;
    EXPECT_EQ(do_with(*key, {kSign}).error().code, Errc::kPolicy);
    const OperationKind other =
        algorithm == std::string("RSA:2048") ? OperationKind::kDecrypt : kDerive;
    EXPECT_EQ(do_with(*key, {other, ""}).error().code, Errc::kPolicy);
    ASSERT_TRUE(there_.keystore->remove(receiver_uri()).ok());
  }
}

TEST_F(BackupTest, OnlyAGeneratedKeyThatOpensBackupsAloneReceives) {
  make_both();
  const std::vector<std::function<void(KeyClaims&)>> changes{
      [](auto& claims) { claims.origin = KeyOrigin::kImported; },
      [](auto& claims) { claims.origin = KeyOrigin::kFetched; },
      [](auto& claims) { claims.origin = KeyOrigin::kRestored; },
      [](auto& claims) { claims.origin = KeyOrigin::kKbsReceiver; },
      [](auto& claims) { claims.policy = ""; },
      [](auto& claims) { claims.policy = "operations=derive"; },
      [](auto& claims) { claims.policy = "operations=restore,derive"; },
      [](auto& claims) { claims.policy = "operations=restore backup=attested"; },
  };
  for (const auto& change : changes) {
    KeyClaims claims = there_.claims(receiver_uri());
    change(claims);
    const auto refused = here_.keystore->backup(uri(), {claims, ""});
    ASSERT_FALSE(refused.ok()) << claims.policy;
    EXPECT_EQ(refused.error().code, Errc::kPolicyRefused);
  }
}

TEST_F(BackupTest, AKbsReceivesWhereItsOwnerSaysSoAndNoOtherKeyDoes) {
  make_both();
  KeyClaims claims = there_.claims(receiver_uri());
  claims.policy = "";
  for (const auto origin :
       {KeyOrigin::kGenerated, KeyOrigin::kImported, KeyOrigin::kFetched, KeyOrigin::kRestored}) {
    claims.origin = origin;
    EXPECT_FALSE(here_.keystore->backup(uri(), {claims, "", true}).ok()) << name_of(origin);
  }
  claims.origin = KeyOrigin::kKbsReceiver;
  EXPECT_TRUE(here_.keystore->backup(uri(), {claims, "", true}).ok());
  const auto refused = here_.keystore->backup(uri(), {claims, "", false});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kPolicyRefused);
}

TEST_F(BackupTest, AReceiverOfAnotherTypeIsRefused) {
  here_.generate(uri(), "EC:P-256", kMayLeave);
  there_.generate(receiver_uri(), "EC:P-384", kRestorePolicy);
  EXPECT_EQ(back_up().error().code, Errc::kUnsupported);
  KeyClaims claims = there_.claims(receiver_uri());
  claims.public_key_info.resize(5);
  EXPECT_EQ(here_.keystore->backup(uri(), {claims, ""}).error().code, Errc::kBadFormat);
}

TEST_F(BackupTest, AnotherKeystoreDoesNotOpenIt) {
  make_both();
  const auto backup = back_up().value();
  const Place stranger = place("stranger");
  EXPECT_EQ(stranger.keystore->restore(backup, std::nullopt).error().code, Errc::kMissing);
  stranger.generate(receiver_uri(), "EC:P-256", kRestorePolicy);
  const auto refused = stranger.keystore->restore(backup, std::nullopt);
  EXPECT_EQ(refused.error().code, Errc::kMissing);
  EXPECT_THAT(describe(refused.error()), HasSubstr("of another keystore"));
  auto json = jose::parse_object(backup).value();
  auto said = jose::parse_object(jose::aad_of(backup).value()).value();
  said["receiver_key"] = digest_of(stranger.public_half(receiver_uri())).value();
  json["aad"] = jose::base64url(jose::canonical(said));
  EXPECT_EQ(stranger.keystore->restore(jose::canonical(json), std::nullopt).error().code,
            Errc::kBadSignature);
}

// ----- what comes in -----------------------------------------------------------------------------

TEST_F(BackupTest, WhatABackupSaysCannotBeChanged) {
  make_both();
  const auto backup = back_up().value();
  const auto said = jose::parse_object(jose::aad_of(backup).value()).value();
  const auto with = [&](const char* member, const jose::Json& value) {
    auto json = jose::parse_object(backup).value();
    auto other = said;
    other[member] = value;
    json["aad"] = jose::base64url(jose::canonical(other));
    return jose::canonical(json);
  };
  expect_not_restored(with("key", "vhsm:default/app/other?version=1"), Errc::kBadSignature);
  expect_not_restored(with("policy", "backup=attested"), Errc::kBadSignature);
  expect_not_restored(with("policy", ""), Errc::kPolicy);
  expect_not_restored(with("policy", "color=red"), Errc::kInvalidArgument);
  expect_not_restored(with("receiver", "vhsm:default/backup/in?version=2"), Errc::kMissing);
  expect_not_restored(with("receiver_key", "AAAA"), Errc::kMissing);
  expect_not_restored(with("key", "vhsm:default/app/other"), Errc::kBadFormat);
  expect_not_restored(with("key", "vhsm:../app/other?version=1"), Errc::kBadFormat);
  expect_not_restored(with("key", 1), Errc::kBadFormat);
  expect_not_restored(with("format", "vhsm backup of a key 2"), Errc::kBadFormat);
  expect_not_restored(with("more", "than that"), Errc::kBadFormat);
}

TEST_F(BackupTest, NoMemberOfABackupCanBeChanged) {
  make_both();
  const auto backup = jose::parse_object(back_up().value()).value();
  for (const char* const member : {"encrypted_key", "iv", "ciphertext", "tag"}) {
    auto octets = jose::from_base64url(jose::text_member(backup, member).value()).value();
    octets[octets.size() / 2] ^= 1;
    auto json = backup;
    json[member] = jose::base64url(octets);
    expect_not_restored(jose::canonical(json), Errc::kBadSignature);
    json.erase(member);
    expect_not_restored(jose::canonical(json), Errc::kBadFormat);
  }
  auto json = backup;
  json.erase("aad");
  expect_not_restored(jose::canonical(json), Errc::kBadFormat);
  expect_not_restored("", Errc::kBadFormat);
  expect_not_restored(std::string(kMaxBackupBytes + 1, ' '), Errc::kBadFormat);
}

/// Anybody can make one for a public key; it is no way to bring in a key under another promise.
TEST_F(BackupTest, AHandmadeBackupBringsNoKeyThatWasNeverToLeaveAndNoOther) {
  make_both();
  const auto claims = there_.claims(receiver_uri());
  KeyUri key = uri();
  key.version = 1;
  const auto pem = sealed::secret(pkcs8_pem(make_key("P-256").get()));
  expect_not_restored(write_backup(pem, key, "operations=sign", claims).value(), Errc::kPolicy);
  expect_not_restored(write_backup(sealed::secret("no key"), key, kMayLeave, claims).value(),
                      Errc::kBadFormat);
  const auto restored =
      there_.keystore->restore(write_backup(pem, key, kMayLeave, claims).value(), std::nullopt);
  ASSERT_TRUE(restored.ok()) << describe(restored.error());
  EXPECT_EQ(there_.claims(uri()).origin, KeyOrigin::kRestored) << "never a generated one";
}

TEST_F(BackupTest, AKeyThatIsNotForBackupsOpensNone) {
  make_both();
  there_.generate(other_uri(), "EC:P-256", "operations=derive");
  KeyUri key = uri();
  key.version = 1;
  const auto pem = sealed::secret(pkcs8_pem(make_key("P-256").get()));
  const auto backup = write_backup(pem, key, kMayLeave, there_.claims(other_uri())).value();
  const auto refused = there_.keystore->restore(backup, std::nullopt);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kPolicy);
}

TEST_F(BackupTest, ANameThatIsTakenStaysAsItIs) {
  make_both();
  const auto backup = back_up().value();
  there_.generate(uri(), "EC:P-256", "");
  const auto before = there_.public_half(uri());
  EXPECT_EQ(there_.keystore->restore(backup, std::nullopt).error().code, Errc::kWrongState);
  EXPECT_EQ(there_.public_half(uri()), before);
  ASSERT_TRUE(there_.keystore->restore(backup, other_uri().name).ok());
  EXPECT_EQ(there_.public_half(other_uri()), here_.public_half(uri()));
}

TEST_F(BackupTest, BackupAndRestoreAreInTheAuditLogAlsoWhenTheyAreRefused) {
  make_both();
  const auto backup = back_up().value();
  EXPECT_FALSE(back_up(other_uri()).ok());
  ASSERT_TRUE(there_.keystore->restore(backup, std::nullopt).ok());
  EXPECT_FALSE(there_.keystore->restore(backup, std::nullopt).ok());
  const std::string sent = temporary_.read("here.audit");
  EXPECT_THAT(sent, HasSubstr(R"("event":"backup","outcome":"granted","key":"default/app/key")"));
  EXPECT_THAT(sent, HasSubstr(R"("measurement":"abcd")"));
  EXPECT_THAT(sent, HasSubstr(R"("event":"backup","outcome":"missing","key":"default/app/other")"));
  const std::string got = temporary_.read("there.audit");
  EXPECT_THAT(got, HasSubstr(R"("event":"restore","outcome":"granted","key":"default/app/key")"));
  EXPECT_THAT(got, HasSubstr(R"("event":"restore","outcome":"wrong state)"));
}

}  // namespace
}  // namespace vhsm::keystore
