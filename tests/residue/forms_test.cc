// SPDX-License-Identifier: Apache-2.0
//
// The scanner knows what it says it knows: each form is what others write, and is found.
#include "tests/residue/forms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/residue/fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// From 0x01 on, upwards.
Bytes counted(std::size_t size) {
  Bytes bytes(size);
  std::uint8_t next = 0;
  std::ranges::generate(bytes, [&] { return ++next; });
  return bytes;
}

std::string encoded(const std::string& form, const Value& value) {
  for (const Form& each : forms()) {
    const Bytes bytes = form == each.name ? each.encode(value) : Bytes{};
    if (!bytes.empty()) return {bytes.begin(), bytes.end()};
  }
  return "no such form";
}

TEST(FormsTest, WordOrdersAreWhatTheirNamesSay) {
  const Value value{"x", counted(16)};
  EXPECT_EQ(encoded("big-endian", value).substr(0, 4), "\1\2\3\4");
  EXPECT_EQ(encoded("little-endian", value).substr(0, 4), "\20\17\16\15");
  EXPECT_EQ(encoded("64-bit limbs, high first", value).substr(0, 9), "\10\7\6\5\4\3\2\1\20");
  EXPECT_EQ(encoded("32-bit limbs, high first", value).substr(0, 5), "\4\3\2\1\10");
  EXPECT_EQ(encoded("64-bit limbs, swapped", value).substr(0, 9), "\11\12\13\14\15\16\17\20\1");
  EXPECT_EQ(encoded("32-bit limbs, swapped", value).substr(0, 5), "\15\16\17\20\11");
}

TEST(FormsTest, DigitsAreTheNumbersDigits) {
  const Value value{"x", Bytes(32, 0xFF), true};
  EXPECT_EQ(encoded("52-bit digits", value).substr(0, 8),
            std::string("\377\377\377\377\377\377\17\0", 8));
  EXPECT_EQ(encoded("29-bit digits", value).substr(0, 8),
            std::string("\377\377\377\37\0\0\0\0", 8));
  EXPECT_EQ(encoded("21-bit digits", value).substr(0, 8), std::string("\377\377\37\0\0\0\0\0", 8));
  // 255 is -1 and a carry, which turns all further digits into zeros.
  EXPECT_EQ(encoded("signed 4-bit digits", value).substr(0, 3), std::string("\377\0\0", 3));
}

TEST(FormsTest, SignedDigitsAddUpToTheNumber) {
  const Value value{"x", counted(32), true};
  const std::string digits = encoded("signed 4-bit digits", value);
  const ossl::Bignum sum(BN_new());
  for (std::size_t i = digits.size(); i-- > 0;) {
    const int digit = static_cast<signed char>(digits[i]);
    EXPECT_LE(std::abs(digit), 8);
    BN_lshift(sum.get(), sum.get(), 4);
    digit < 0 ? BN_sub_word(sum.get(), static_cast<BN_ULONG>(-digit))
              : BN_add_word(sum.get(), static_cast<BN_ULONG>(digit));
  }
  Bytes bytes(32);
  BN_bn2lebinpad(sum.get(), bytes.data(), 32);
  EXPECT_EQ(bytes, value.bytes);
}

/// The secret in OpenSSL's base64, behind `before` other bytes.
std::string openssl_base64(const Value& value, std::size_t before) {
  Bytes all(before, 0xA5);
  all.insert(all.end(), value.bytes.begin(), value.bytes.end());
  Bytes text(all.size() * 2);
  const int size = EVP_EncodeBlock(text.data(), all.data(), static_cast<int>(all.size()));
  return {text.begin(), text.begin() + size};
}

TEST(FormsTest, Base64IsOpenSslsWhereverTheSecretBegins) {
  const Value value{"x", counted(50)};
  const char* const names[] = {"base64", "base64, 1 byte on", "base64, 2 bytes on"};
  for (std::size_t before = 0; before < 3; ++before) {
    EXPECT_THAT(openssl_base64(value, before), HasSubstr(encoded(names[before], value)));
    EXPECT_GE(encoded(names[before], value).size(), 65U);
  }
}

TEST(FormsTest, HexIsOpenSsls) {
  const Value value{"x", counted(255)};
  const ossl::Bignum number(BN_bin2bn(value.bytes.data(), 255, nullptr));
  char* const upper = BN_bn2hex(number.get());
  char* const colons = OPENSSL_buf2hexstr(value.bytes.data(), 255);
  EXPECT_EQ(encoded("hex, upper case", value), upper);
  EXPECT_STRCASEEQ(encoded("hex", value).c_str(), upper);
  EXPECT_STRCASEEQ(encoded("hex with colons", value).c_str(), colons);
  OPENSSL_free(upper);
  OPENSSL_free(colons);
}

const Value& named(const std::vector<Value>& values, const std::string& name) {
  const auto found = std::ranges::find(values, name, &Value::name);
  EXPECT_NE(found, values.end()) << name;
  return *found;
}

ossl::Bignum number_of(const Value& value) {
  return ossl::Bignum(BN_bin2bn(value.bytes.data(), static_cast<int>(value.bytes.size()), nullptr));
}

ossl::PKey key_of(const std::string& kind) {
  return read_key(std::string(VHSM_RESIDUE_KEYS) + "/" + kind + ".pem");
}

TEST(ValuesTest, MontgomeryFormsAreOpenSsls) {
  const ossl::Handle<BN_CTX, BN_CTX_free> ctx(BN_CTX_new());
  const ossl::Handle<BN_MONT_CTX, BN_MONT_CTX_free> montgomery(BN_MONT_CTX_new());
  const auto values = values_of_key(key_of("RSA2048").get());
  ASSERT_EQ(BN_MONT_CTX_set(montgomery.get(), number_of(named(values, "p")).get(), ctx.get()), 1);
  ossl::Bignum one(BN_new());
  BN_one(one.get());
  BN_to_montgomery(one.get(), one.get(), montgomery.get(), ctx.get());
  EXPECT_EQ(BN_cmp(one.get(), number_of(named(values, "R mod p")).get()), 0);
  BN_to_montgomery(one.get(), one.get(), montgomery.get(), ctx.get());
  EXPECT_EQ(BN_cmp(one.get(), number_of(named(values, "R^2 mod p")).get()), 0);
}

Bytes signed_by(EVP_PKEY* key, const char* digest, const Bytes& message) {
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  Bytes signature(512);
  std::size_t size = signature.size();
  EVP_DigestSignInit_ex(ctx.get(), nullptr, digest, nullptr, nullptr, key, nullptr);
  EVP_DigestSign(ctx.get(), signature.data(), &size, message.data(), message.size());
  signature.resize(size);
  return signature;
}

TEST(ValuesTest, TheNonceOfAnEcdsaSignatureIsTheOneThatMadeIt) {
  for (const char* kind : {"P-256", "P-384", "P-521"}) {
    const auto key = key_of(kind);
    const Bytes message = counted(40);
    const Bytes signature = signed_by(key.get(), "SHA512", message);
    const auto values = values_of_signature(key.get(), {signature, message, "SHA512"});
    ASSERT_THAT(values, Not(IsEmpty()));
    // r is the x coordinate of k times the base point, which only the right k has.
    const ossl::Handle<EC_GROUP, EC_GROUP_free> group(
        EC_GROUP_new_by_curve_name(EC_curve_nist2nid(kind)));
    const ossl::Handle<EC_POINT, EC_POINT_free> point(EC_POINT_new(group.get()));
    const auto nonce = number_of(named(values, "k"));
    EC_POINT_mul(group.get(), point.get(), nonce.get(), nullptr, nullptr, nullptr);
    const ossl::Bignum x(BN_new());
    EC_POINT_get_affine_coordinates(group.get(), point.get(), x.get(), nullptr, nullptr);
    const std::uint8_t* at = signature.data();
    const ossl::EcdsaSig parts(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(signature.size())));
    EXPECT_EQ(BN_cmp(x.get(), ECDSA_SIG_get0_r(parts.get())), 0);
    EXPECT_THAT(values_of_signature(key.get(), {signature, counted(41), "SHA512"}), IsEmpty());
  }
}

TEST(ValuesTest, TheNonceOfAnEd25519SignatureIsTheOneThatMadeIt) {
  const auto key = key_of("ED25519");
  const Bytes message = counted(40);
  const Bytes signature = signed_by(key.get(), nullptr, message);
  const auto values = values_of_signature(key.get(), {signature, message});
  // An Ed25519 key with this nonce as its scalar would have the signature's R as its public half:
  // OpenSSL offers no such key, but s - k is a multiple of the scalar, which is checked instead.
  ossl::Bignum order;
  BN_hex2bn(ossl::Receive(order),
            "1000000000000000000000000000000014DEF9DEA2F79CD65812631A5CF5D3ED");
  const ossl::Handle<BN_CTX, BN_CTX_free> ctx(BN_CTX_new());
  const auto little = [](const std::uint8_t* bytes, int size) {
    return ossl::Bignum(BN_lebin2bn(bytes, size, nullptr));
  };
  Bytes input(signature.begin(), signature.begin() + 32);
  Bytes pub(32);
  std::size_t size = pub.size();
  EVP_PKEY_get_raw_public_key(key.get(), pub.data(), &size);
  input.insert(input.end(), pub.begin(), pub.end());
  input.insert(input.end(), message.begin(), message.end());
  Bytes hash(64);
  EVP_Q_digest(nullptr, "SHA512", nullptr, input.data(), input.size(), hash.data(), &size);
  const auto scalar = little(named(values_of_key(key.get()), "scalar").bytes.data(), 32);
  const ossl::Bignum right(BN_new());
  BN_mod_mul(right.get(), little(hash.data(), 64).get(), scalar.get(), order.get(), ctx.get());
  BN_mod_add(right.get(), right.get(), little(named(values, "k").bytes.data(), 32).get(),
             order.get(), ctx.get());
  EXPECT_EQ(BN_cmp(right.get(), little(signature.data() + 32, 32).get()), 0);
}

/// A process that has one value in one form, and the program for everyone.
class ScannerTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  static Outcome residue_scan(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), VHSM_BIN_DIR "/residue_scan");
    return run(arguments);
  }
  static std::string key_file(const std::string& kind) {
    return std::string(VHSM_RESIDUE_KEYS) + "/" + kind + ".pem";
  }

  std::string folder_ = "/tmp/vhsm-residue-XXXXXX";
};

TEST_P(ScannerTest, FindsEachFormOfEachValueThatAProcessHas) {
  const std::string kind = GetParam();
  const auto values = values_of_key(key_of(kind).get());
  ResidueHost host({});
  for (const Form& form : forms()) {
    std::string all;
    for (const Value& value : values) all += "\1\2\3" + encoded(form.name, value);
    write_file(path("held"), all);
    host.tell("hold " + path("held"));
  }
  const Outcome found =
      residue_scan({"--pid", std::to_string(host.process()), "--no-core", "--key", key_file(kind)});
  EXPECT_EQ(found.status, 3) << found.err;
  for (const Form& form : forms()) {
    for (const Value& value : values) {
      if (form.encode(value).empty()) continue;
      EXPECT_THAT(found.out, HasSubstr("  " + value.name + ", " + form.name + ", "));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, ScannerTest, every_key(),
                         [](const auto& test) { return plain(test.param); });

class ScannerProgramTest : public ScannerTest {};

TEST_F(ScannerProgramTest, SixteenBytesAreEnoughAndFifteenAreNot) {
  const auto value = values_of_key(key_of("RSA2048").get()).front();
  for (const int size : {15, 16}) {
    const auto from = value.bytes.begin() + 50;
    write_file(path("held"), {from, from + size});
    ResidueHost host({});
    host.tell("hold " + path("held"));
    const Outcome found = residue_scan(
        {"--pid", std::to_string(host.process()), "--no-core", "--key", key_file("RSA2048")});
    EXPECT_EQ(found.status, size == 16 ? 3 : 0) << found.out;
  }
}

TEST_F(ScannerProgramTest, FindsWhatIsInACoreDump) {
  ResidueHost host({});
  write_file(path("held"), encoded("hex", values_of_key(key_of("P-256").get()).front()));
  host.tell("hold " + path("held"));
  const Outcome found =
      residue_scan({"--pid", std::to_string(host.process()), "--key", key_file("P-256")});
  EXPECT_THAT(found.out, HasSubstr("core dump: d")) << found.out;
}

TEST_F(ScannerProgramTest, FindsAnyOtherSecret) {
  ResidueHost host({});
  const std::string held = "correct horse battery";
  write_file(path("held"), held);
  write_file(path("secret"), encoded("hex", {"phrase", {held.begin(), held.end()}}));
  host.tell("hold " + path("held"));
  const Outcome found = residue_scan({"--pid", std::to_string(host.process()), "--no-core",
                                      "--secret", "phrase=" + path("secret")});
  EXPECT_EQ(found.status, 3);
  EXPECT_THAT(found.out, HasSubstr("phrase, big-endian, 21 bytes (whole)"));
}

TEST_F(ScannerProgramTest, AProcessGoesOnAfterIt) {
  ResidueHost host({});
  const Outcome clean = residue_scan(
      {"--pid", std::to_string(host.process()), "--no-core", "--key", key_file("ED25519")});
  EXPECT_EQ(clean.status, 0) << clean.out << clean.err;
  EXPECT_THAT(clean.out, HasSubstr("nothing found"));
  host.tell("load " + key_file("ED25519"));
}

TEST_F(ScannerProgramTest, SaysWhenItCannotWork) {
  const std::string key = key_file("P-256");
  EXPECT_EQ(residue_scan({}).status, 2);
  EXPECT_EQ(residue_scan({"--pid", "x", "--key", key}).status, 2);
  EXPECT_EQ(residue_scan({"--pid", "1"}).status, 2);
  EXPECT_EQ(residue_scan({"--help"}).status, 0);
  EXPECT_EQ(residue_scan({"--pid", "999999999", "--key", key}).status, 1);
  EXPECT_EQ(residue_scan({"--core", path("none"), "--key", key}).status, 1);
  EXPECT_EQ(residue_scan({"--pid", "1", "--key", "/dev/null"}).status, 1);
}

}  // namespace
}  // namespace vhsm::tests
