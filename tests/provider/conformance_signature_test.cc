// SPDX-License-Identifier: Apache-2.0
//
// Signatures: every digest, padding, salt length and parameter that this OpenSSL has, in each of
// its styles, and each misuse.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/provider/twins.h"

namespace vhsm::test {
namespace {

struct Choice {
  std::string digest;            ///< empty: none
  std::optional<int> padding{};  ///< RSA_*_PADDING
  std::optional<int> salt{};     ///< RSA_PSS_SALTLEN_* or bytes
  const char* mgf1 = nullptr;
};

constexpr int kPaddings[] = {RSA_PKCS1_PADDING,
                             RSA_NO_PADDING,
                             RSA_PKCS1_OAEP_PADDING,
                             RSA_X931_PADDING,
                             RSA_PKCS1_PSS_PADDING,
                             RSA_PKCS1_WITH_TLS_PADDING,
                             99};
constexpr unsigned kParamKinds[] = {OSSL_PARAM_INTEGER, OSSL_PARAM_UTF8_STRING,
                                    OSSL_PARAM_OCTET_STRING, OSSL_PARAM_UTF8_PTR};
constexpr std::size_t kInputSizes[] = {0, 1, 20, 32, 36, 64, 128, 245, 246, 255, 256, 257, 1024};
constexpr std::size_t kLargestSignature = 64 << 10;

const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

bool choose(EVP_PKEY_CTX* ctx, const Choice& choice, Transcript& t) {
  bool all = true;
  if (choice.padding) {
    int value = *choice.padding;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PAD_MODE, &value),
                                 OSSL_PARAM_construct_end()};
    all &= t.call("set padding", EVP_PKEY_CTX_set_params(ctx, params));
  }
  if (choice.mgf1 != nullptr) {
    all &= t.call("set mgf1", EVP_PKEY_CTX_ctrl_str(ctx, "rsa_mgf1_md", choice.mgf1));
  }
  if (choice.salt) {
    int value = *choice.salt;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &value),
                                 OSSL_PARAM_construct_end()};
    all &= t.call("set salt", EVP_PKEY_CTX_set_params(ctx, params));
  }
  return all;
}

ossl::PKeyCtx plain_context(const Side& side, EVP_PKEY* key) {
  return ossl::PKeyCtx(
      EVP_PKEY_CTX_new_from_pkey(key == side.judge ? nullptr : side.ctx, key, nullptr));
}

/// The judge is a key of another library context.
ossl::MdCtx begin_verify(const Side& side, EVP_PKEY* key, const Choice& choice) {
  ossl::MdCtx ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;
  Transcript unheard;
  const bool begun = EVP_DigestVerifyInit_ex(ctx.get(), &inner, or_null(choice.digest), side.ctx,
                                             nullptr, key, nullptr) == 1 &&
                     choose(inner, choice, unheard);
  return begun ? std::move(ctx) : nullptr;
}

int verify_message(const Side& side, EVP_PKEY* key, const Choice& choice, const Bytes& signature,
                   const Bytes& message) {
  const auto ctx = begin_verify(side, key, choice);
  return ctx == nullptr ? -99
                        : EVP_DigestVerify(ctx.get(), signature.data(), signature.size(),
                                           message.data(), message.size());
}

/// The signature itself where the scheme makes the same one each time.
void note_signature(const Side& side, const Choice& choice, const Bytes& first, const Bytes& second,
                    Transcript& t) {
  if (first == second) t.bytes("signature", first);
  t.call("own verification", verify_message(side, side.key, choice, first, kMessage));
  t.call("judge's verification", verify_message(side, side.judge, choice, first, kMessage));
  Bytes changed = first;
  if (!changed.empty()) changed.back() ^= 1;
  t.call("of a changed one", verify_message(side, side.key, choice, changed, kMessage));
}

using Signer = std::function<int(unsigned char*, std::size_t*)>;

/// Asks for the size, tries buffers that are too small, and signs. @return the signature.
Bytes sign_with(const Signer& sign, Transcript& t, bool tries_small) {
  std::size_t size = 0;
  if (!t.call("size query", sign(nullptr, &size))) return {};
  t.value("size", std::to_string(size));
  Bytes out(std::min(size, kLargestSignature));
  for (const std::size_t small : {std::size_t{1}, size / 2}) {
    std::size_t written = small;
    if (tries_small) t.call("small buffer", sign(out.data(), &written));
  }
  if (!t.call("sign", sign(out.data(), &size))) return {};
  out.resize(size);
  return out;
}

void sign_whole(const Side& side, const Choice& choice, Transcript& t) {
  const Transcript::Section section(t, "whole");
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;
  if (!t.call("init", EVP_DigestSignInit_ex(ctx.get(), &inner, or_null(choice.digest), side.ctx,
                                            nullptr, side.key, nullptr)) ||
      !choose(inner, choice, t)) {
    return;
  }
  const Signer sign = [&](unsigned char* out, std::size_t* size) {
    return EVP_DigestSign(ctx.get(), out, size, kMessage.data(), kMessage.size());
  };
  const Bytes first = sign_with(sign, t, false);
  if (first.empty()) return;
  t.call("init again",
         EVP_DigestSignInit_ex(ctx.get(), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr));
  note_signature(side, choice, first, sign_with(sign, t, false), t);
}

void sign_parts(const Side& side, const Choice& choice, Transcript& t) {
  const Transcript::Section section(t, "in parts");
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;
  if (!t.call("init", EVP_DigestSignInit_ex(ctx.get(), &inner, or_null(choice.digest), side.ctx,
                                            nullptr, side.key, nullptr)) ||
      !choose(inner, choice, t) ||
      !t.call("update", EVP_DigestSignUpdate(ctx.get(), kMessage.data(), 3)) ||
      !t.call("update",
              EVP_DigestSignUpdate(ctx.get(), kMessage.data() + 3, kMessage.size() - 3))) {
    return;
  }
  const Signer sign = [&](unsigned char* out, std::size_t* size) {
    return EVP_DigestSignFinal(ctx.get(), out, size);
  };
  const Bytes first = sign_with(sign, t, false);
  std::size_t size = kLargestSignature;
  Bytes again(size);
  t.call("final again", EVP_DigestSignFinal(ctx.get(), again.data(), &size));
  if (!first.empty()) note_signature(side, choice, first, {}, t);
}

void sign_prehashed(const Side& side, const Choice& choice, const Bytes& input, Transcript& t) {
  const Transcript::Section section(t, "prehashed " + std::to_string(input.size()));
  const auto ctx = plain_context(side, side.key);
  if (!t.call("init", EVP_PKEY_sign_init(ctx.get()))) return;
  if (!choice.digest.empty() &&
      !t.call("set digest", EVP_PKEY_CTX_ctrl_str(ctx.get(), "digest", choice.digest.c_str()))) {
    return;
  }
  if (!choose(ctx.get(), choice, t)) return;
  const Signer sign = [&](unsigned char* out, std::size_t* size) {
    return EVP_PKEY_sign(ctx.get(), out, size, input.data(), input.size());
  };
  const Bytes first = sign_with(sign, t, true);
  const Bytes second = sign_with(sign, t, false);
  if (!first.empty() && first == second) t.bytes("signature", first);
  if (first.empty() || choice.digest.empty()) return;
  const auto check = plain_context(side, side.key);
  Transcript unheard;
  if (!t.call("verify init", EVP_PKEY_verify_init(check.get()))) return;
  EVP_PKEY_CTX_ctrl_str(check.get(), "digest", choice.digest.c_str());
  choose(check.get(), choice, unheard);
  t.call("verify",
         EVP_PKEY_verify(check.get(), first.data(), first.size(), input.data(), input.size()));
  t.call("verify another", EVP_PKEY_verify(check.get(), first.data(), first.size(), kMessage.data(),
                                           kMessage.size()));
}

std::size_t size_of(const Side& side, const std::string& digest) {
  const ossl::Handle<EVP_MD, EVP_MD_free> md(EVP_MD_fetch(side.ctx, digest.c_str(), nullptr));
  ERR_clear_error();
  return md == nullptr ? 32 : static_cast<std::size_t>(EVP_MD_get_size(md.get()));
}

void sign_each_way(const Side& side, const Choice& choice, Transcript& t) {
  sign_whole(side, choice, t);
  sign_parts(side, choice, t);
  sign_prehashed(side, choice, Bytes(size_of(side, choice.digest), 0x5a), t);
}

std::string described(const Choice& choice) {
  return choice.digest + (choice.padding ? " padding " + std::to_string(*choice.padding) : "") +
         (choice.salt ? " salt " + std::to_string(*choice.salt) : "") +
         (choice.mgf1 != nullptr ? std::string(" mgf1 ") + choice.mgf1 : "");
}

class SignatureConformanceTest : public TwinTest {
 protected:
  void compare_choices(const std::vector<Choice>& choices) const {
    for (const Choice& choice : choices) {
      compare([&](const Side& side, Transcript& t) {
        const Transcript::Section section(t, described(choice));
        sign_each_way(side, choice, t);
      });
      if (HasFatalFailure()) return;
    }
  }
};

// T14
TEST_P(SignatureConformanceTest, EachDigestInEachStyle) {
  std::vector<Choice> choices;
  for (const std::string& digest : all_digests()) choices.push_back({.digest = digest});
  compare_choices(choices);
}

TEST_P(SignatureConformanceTest, EachPaddingWithEachDigest) {
  std::vector<Choice> choices;
  for (const std::string& digest : all_digests()) {
    for (const int padding : kPaddings) choices.push_back({.digest = digest, .padding = padding});
  }
  // Other types know no padding: the first few say so.
  if (!is_rsa()) choices.resize(std::size(kPaddings));
  compare_choices(choices);
}

// T20
TEST_P(SignatureConformanceTest, EachSaltLengthAndMaskDigest) {
  std::vector<Choice> choices;
  for (const char* digest : {"SHA1", "SHA2-256", "SHA2-512"}) {
    for (const char* mgf1 : {static_cast<const char*>(nullptr), "SHA1", "SHA512", "NONSENSE"}) {
      for (const int salt : {-5, -4, -3, -2, -1, 0, 8, 20, 32, 190, 222, 223, 100'000}) {
        choices.push_back(
            {.digest = digest, .padding = RSA_PKCS1_PSS_PADDING, .salt = salt, .mgf1 = mgf1});
      }
    }
  }
  if (!is_rsa()) choices.resize(1);
  compare_choices(choices);
}

TEST_P(SignatureConformanceTest, PrehashedInputOfEachLength) {
  for (const std::string digest : {"", "SHA1", "SHA2-256", "SHA2-512"}) {
    for (const std::size_t size : kInputSizes) {
      for (const int padding : kPaddings) {
        const Choice choice{.digest = digest,
                            .padding = is_rsa() ? std::optional(padding) : std::nullopt};
        compare([&](const Side& side, Transcript& t) {
          sign_prehashed(side, choice, Bytes(size, 0x21), t);
        });
        if (!is_rsa()) break;
      }
    }
  }
}

/// Values of each kind that a parameter could have.
std::vector<OSSL_PARAM> values_for(const char* name) {
  static std::array<int, 7> numbers{-100, -1, 0, 1, 20, 64, 1 << 20};
  static std::array<std::string, 8> texts{"",    "nonsense", "SHA256", "sha1",
                                          "pss", "pkcs1",    "1",      "Ed25519"};
  static Bytes octets(300, 0x41);
  std::vector<OSSL_PARAM> values;
  for (int& number : numbers) values.push_back(OSSL_PARAM_construct_int(name, &number));
  for (std::string& text : texts) {
    values.push_back(OSSL_PARAM_construct_utf8_string(name, text.data(), 0));
  }
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{255}, std::size_t{256}}) {
    values.push_back(OSSL_PARAM_construct_octet_string(name, octets.data(), size));
  }
  return values;
}

std::string settable_names(const EVP_PKEY_CTX* ctx) {
  std::string all;
  for (const std::string& name : names_of(EVP_PKEY_CTX_settable_params(ctx))) all += name + " ";
  return all;
}

std::string gettable_names(const EVP_PKEY_CTX* ctx) {
  std::string all;
  for (const std::string& name : names_of(EVP_PKEY_CTX_gettable_params(ctx))) all += name + " ";
  return all;
}

/// All that a context tells of itself.
void note_params(EVP_PKEY_CTX* ctx, Transcript& t) {
  for (const std::string& name : names_of(EVP_PKEY_CTX_gettable_params(ctx))) {
    Bytes buffer(512);
    for (const unsigned kind : kParamKinds) {
      OSSL_PARAM params[] = {
          {name.c_str(), kind, buffer.data(), buffer.size(), OSSL_PARAM_UNMODIFIED},
          OSSL_PARAM_construct_end()};
      if (kind == OSSL_PARAM_INTEGER) params[0].data_size = sizeof(int);
      const int rc = EVP_PKEY_CTX_get_params(ctx, params);
      t.call("get " + name + " as " + std::to_string(kind), rc);
      if (rc != 1 || kind == OSSL_PARAM_UTF8_PTR) continue;
      t.value("its size", std::to_string(params[0].return_size));
      const std::size_t size = std::min(buffer.size(), params[0].return_size);
      if (OSSL_PARAM_modified(&params[0]) == 1)
        t.bytes("it", Bytes(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size)));
    }
  }
}

ossl::MdCtx begin_sign(const Side& side, const char* digest, EVP_PKEY_CTX** inner, Transcript& t) {
  ossl::MdCtx ctx(EVP_MD_CTX_new());
  const bool begun = t.call("init", EVP_DigestSignInit_ex(ctx.get(), inner, digest, side.ctx,
                                                          nullptr, side.key, nullptr));
  return begun ? std::move(ctx) : nullptr;
}

int sign_once(EVP_MD_CTX* ctx) {
  Bytes out(kLargestSignature);
  std::size_t size = out.size();
  return EVP_DigestSign(ctx, out.data(), &size, kMessage.data(), kMessage.size());
}

class ParameterConformanceTest : public TwinTest {
 protected:
  [[nodiscard]] const char* digest() const {
    return kind().type->signing == keystore::Signing::kDigest ? "SHA2-256" : nullptr;
  }
  [[nodiscard]] Choice choice() const { return {.digest = digest() == nullptr ? "" : digest()}; }
};

TEST_P(ParameterConformanceTest, TheSameParametersAreListed) {
  compare([&](const Side& side, Transcript& t) {
    EVP_PKEY_CTX* inner = nullptr;
    const auto ctx = begin_sign(side, digest(), &inner, t);
    if (ctx == nullptr) return;
    t.value("settable", settable_names(inner));
    t.value("gettable", gettable_names(inner));
    note_params(inner, t);
  });
}

TEST_P(ParameterConformanceTest, EachValueOfEachIsTakenOrRefusedAlike) {
  std::vector<std::string> names{"unheard-of"};
  {
    Transcript unheard;
    EVP_PKEY_CTX* inner = nullptr;
    const Side side{plain().ctx(), theirs(), nullptr};
    const auto ctx = begin_sign(side, digest(), &inner, unheard);
    if (ctx != nullptr) {
      const auto more = names_of(EVP_PKEY_CTX_settable_params(inner));
      names.insert(names.end(), more.begin(), more.end());
    }
  }
  std::erase(names, "digest-size");  // see docs/differences.md
  for (const std::string& name : names) {
    int i = 0;
    for (const OSSL_PARAM& value : values_for(name.c_str())) {
      compare([&](const Side& side, Transcript& t) {
        const Transcript::Section section(t, name + " value " + std::to_string(i));
        EVP_PKEY_CTX* inner = nullptr;
        const auto ctx = begin_sign(side, digest(), &inner, t);
        if (ctx == nullptr) return;
        const OSSL_PARAM params[] = {value, OSSL_PARAM_construct_end()};
        if (t.call("set", EVP_PKEY_CTX_set_params(inner, params))) note_params(inner, t);
        t.call("sign", sign_once(ctx.get()));
      });
      ++i;
    }
  }
}

// Libssl 4.0 has parameters for every start, whether the key's type takes any or none.
TEST_P(ParameterConformanceTest, AStartTakesOrRefusesUnknownOnesAlike) {
  compare([&](const Side& side, Transcript& t) {
    int number = 1;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_int("unheard-of", &number),
                                 OSSL_PARAM_construct_end()};
    const ossl::MdCtx ctx(EVP_MD_CTX_new());
    if (t.call("init", EVP_DigestSignInit_ex(ctx.get(), nullptr, digest(), side.ctx, nullptr,
                                             side.key, params))) {
      t.call("sign", sign_once(ctx.get()));
    }
  });
}

TEST_P(ParameterConformanceTest, ACopyGoesItsOwnWayFromEachState) {
  for (int state = 0; state < 4; ++state) {
    compare([&](const Side& side, Transcript& t) {
      const Transcript::Section section(t, "state " + std::to_string(state));
      ossl::MdCtx ctx(EVP_MD_CTX_new());
      if (state > 0) {
        ctx = begin_sign(side, digest(), nullptr, t);
        if (ctx == nullptr) return;
      }
      // Libcrypto itself crashes in a Final of a type that signs whole messages only.
      const bool updated =
          state > 1 && t.call("update", EVP_DigestSignUpdate(ctx.get(), kMessage.data(), 5));
      if (state > 2 && updated) {
        std::size_t size = 0;
        t.call("size", EVP_DigestSignFinal(ctx.get(), nullptr, &size));
      }
      const ossl::MdCtx copy(EVP_MD_CTX_new());
      t.call("copy", EVP_MD_CTX_copy_ex(copy.get(), ctx.get()));
      for (EVP_MD_CTX* one : {copy.get(), ctx.get()}) {
        if (!t.call("update", EVP_DigestSignUpdate(one, kMessage.data(), 5))) continue;
        Bytes out(kLargestSignature);
        std::size_t size = out.size();
        if (!t.call("final", EVP_DigestSignFinal(one, out.data(), &size))) continue;
        out.resize(size);
        Bytes message(kMessage.begin(), kMessage.begin() + 5);
        if (state > 1) message.insert(message.end(), kMessage.begin(), kMessage.begin() + 5);
        t.call("judged", verify_message(side, side.judge, choice(), out, message));
      }
    });
  }
}

TEST_P(ParameterConformanceTest, TheKeyStaysThroughANewStart) {
  for (const char* next : {static_cast<const char*>(nullptr), "SHA2-512", "NONSENSE"}) {
    compare([&](const Side& side, Transcript& t) {
      const auto ctx = begin_sign(side, digest(), nullptr, t);
      if (ctx == nullptr) return;
      t.call("sign", sign_once(ctx.get()));
      t.call("init",
             EVP_DigestSignInit_ex(ctx.get(), nullptr, next, side.ctx, nullptr, nullptr, nullptr));
      t.call("sign", sign_once(ctx.get()));
      const EVP_MD* md = EVP_MD_CTX_get0_md(ctx.get());
      t.value("digest", md == nullptr ? "none" : EVP_MD_get0_name(md));
    });
  }
}

TEST_P(ParameterConformanceTest, MisuseIsRefusedAlike) {
  compare([&](const Side& side, Transcript& t) {
    Bytes out(kLargestSignature);
    std::size_t size = out.size();
    const auto fresh = plain_context(side, side.key);
    t.call("sign before init", EVP_PKEY_sign(fresh.get(), out.data(), &size, out.data(), 32));
    t.call("verify before init", EVP_PKEY_verify(fresh.get(), out.data(), 8, out.data(), 32));
    t.call("sign init", EVP_PKEY_sign_init(fresh.get()));
    t.call("verify after sign init", EVP_PKEY_verify(fresh.get(), out.data(), 8, out.data(), 32));
    t.call("verify init", EVP_PKEY_verify_init(fresh.get()));
    t.call("sign after verify init", EVP_PKEY_sign(fresh.get(), out.data(), &size, out.data(), 32));
    t.call("garbage", EVP_PKEY_verify(fresh.get(), out.data(), 8, out.data(), 32));
    t.call("nothing", EVP_PKEY_verify(fresh.get(), out.data(), 0, out.data(), 32));
    t.call("long", EVP_PKEY_verify(fresh.get(), out.data(), 5000, out.data(), 32));
    t.call("recover init", EVP_PKEY_verify_recover_init(fresh.get()));
    const ossl::MdCtx ctx(EVP_MD_CTX_new());
    t.call("unknown digest", EVP_DigestSignInit_ex(ctx.get(), nullptr, "NONSENSE", side.ctx,
                                                   nullptr, side.key, nullptr));
    t.call("unknown property", EVP_DigestSignInit_ex(ctx.get(), nullptr, "SHA256", side.ctx,
                                                     "provider=nobody", side.key, nullptr));
  });
}

TEST_P(ParameterConformanceTest, DamagedSignaturesAreRefusedAlike) {
  EVP_PKEY_CTX* none = nullptr;
  Transcript unheard;
  const auto ctx = begin_sign({plain().ctx(), theirs(), nullptr}, digest(), &none, unheard);
  if (ctx == nullptr) return;
  Bytes good(kLargestSignature);
  std::size_t size = good.size();
  ASSERT_EQ(EVP_DigestSign(ctx.get(), good.data(), &size, kMessage.data(), kMessage.size()), 1);
  good.resize(size);
  for (std::size_t i = 0; i <= good.size(); i += 1 + good.size() / 40) {
    compare([&](const Side& side, Transcript& t) {
      const Transcript::Section section(t, "at " + std::to_string(i));
      Bytes changed = good;
      if (i < changed.size()) changed[i] ^= 0x10;
      const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(i));
      Bytes longer = good;
      longer.push_back(0);
      t.call("changed", verify_message(side, side.key, choice(), changed, kMessage));
      t.call("cut", verify_message(side, side.key, choice(), cut, kMessage));
      t.call("longer", verify_message(side, side.key, choice(), longer, kMessage));
      t.call("other message", verify_message(side, side.key, choice(), good, cut));
    });
  }
}

// Kinds that sign for tenths of a second are compared by their quick relatives.
std::vector<tests::Kind> quick_kinds() {
  return tests::kinds_that([](const tests::Kind& kind) { return !kind.is_slow(); });
}

INSTANTIATE_TEST_SUITE_P(Keys, SignatureConformanceTest, ::testing::ValuesIn(quick_kinds()),
                         twin_name);
INSTANTIATE_TEST_SUITE_P(Keys, ParameterConformanceTest, ::testing::ValuesIn(quick_kinds()),
                         twin_name);

}  // namespace
}  // namespace vhsm::test
