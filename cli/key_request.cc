// SPDX-License-Identifier: Apache-2.0
//
// vhsm key csr: a request for a certificate, or a certificate that the key signs for itself; on
// request with evidence of the key in it.
// Source: RFC 2986 (PKCS #10); RFC 5280; RFC 9999, section 4.4 (id-pe-cmw).
#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/words.h"
#include "cli/console.h"
#include "cli/hex_option.h"
#include "cli/key_signature.h"
#include "cli/subject.h"
#include "evidence/pkix.h"
#include "module/assembly.h"

namespace vhsm::cli {
namespace {

using evidence::Bytes;

struct RequestArguments {
  std::string name;
  std::string subject;
  std::vector<std::string> alternatives;
  std::string nonce;
  std::string out;
  SigningTerms terms;
  int days = 30;
  bool attest = false;
  bool self_signed = false;
};

inline void free_extensions(STACK_OF(X509_EXTENSION) * list) noexcept {
  sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}
using GeneralName = ossl::Handle<GENERAL_NAME, GENERAL_NAME_free>;
using GeneralNames = ossl::Handle<GENERAL_NAMES, GENERAL_NAMES_free>;
using Extensions = ossl::Handle<STACK_OF(X509_EXTENSION), free_extensions>;
using BitString = ossl::Handle<ASN1_BIT_STRING, ASN1_BIT_STRING_free>;
using Number = ossl::Handle<BIGNUM, BN_free>;

/// What goes into a request or certificate.
struct Contents {
  ossl::X509Name subject;
  ossl::PKey public_key;
  Extensions extensions;
};

Status add(Extensions& list, ossl::X509Ext extension) {
  if (extension == nullptr || sk_X509_EXTENSION_push(list.get(), extension.get()) <= 0) {
    return fail(Errc::kCrypto, "the extension cannot be made");
  }
  static_cast<void>(extension.release());  // the list's now
  return {};
}

struct NameKind {
  std::string_view prefix;
  int type;
};
constexpr std::array<NameKind, 4> kNameKinds{
    {{"DNS:", GEN_DNS}, {"IP:", GEN_IPADD}, {"email:", GEN_EMAIL}, {"URI:", GEN_URI}}};

/// OpenSSL's own syntax can do much more, among it what needs a configuration.
GeneralName parse_alternative(std::string_view text) {
  const ossl::ErrorMark quiet;
  const auto plain = [](char c) { return c > ' ' && c <= '~'; };
  const auto* const kind = std::ranges::find_if(
      kNameKinds, [&](const NameKind& known) { return text.starts_with(known.prefix); });
  if (kind == kNameKinds.end() || !std::ranges::all_of(text, plain)) return {};
  std::string value(text.substr(kind->prefix.size()));
  if (value.empty()) return {};
  return GeneralName(a2i_GENERAL_NAME(nullptr, nullptr, nullptr, kind->type, value.data(), 0));
}

Status add_alternatives(Extensions& list, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  const GeneralNames alternatives(GENERAL_NAMES_new());
  const std::string all = fmt::format("{}", fmt::join(names, ","));
  for (const std::string_view text : words(all, ",")) {
    auto name = parse_alternative(text);
    if (name == nullptr) {
      return fail(Errc::kInvalidArgument,
                  "a name in --san is DNS:a.example, IP:192.0.2.1, email:a@b.example or URI:...",
                  text);
    }
    if (sk_GENERAL_NAME_push(alternatives.get(), name.get()) <= 0) {
      return fail(Errc::kMemoryLimit, "no room for a name");
    }
    static_cast<void>(name.release());
  }
  return add(list, ossl::X509Ext(X509V3_EXT_i2d(NID_subject_alt_name, 0, alternatives.get())));
}

/// About the very version that signs.
Status add_evidence(Extensions& list, const Parts& parts, const keystore::KeyUri& uri,
                    const std::string& nonce_text) {
  const auto nonce = VHSM_TRY(parse_hex(nonce_text, "--nonce"));
  const Bytes bytes = VHSM_TRY(parts.keystore->attest(uri, nonce));
  auto extension = VHSM_TRY(evidence::make_extension(bytes));
  return add(list, std::move(extension));
}

Result<ossl::PKey> public_half_of(const keystore::Key& key) {
  const auto der = VHSM_TRY(key.public_key_info());
  const unsigned char* next = der.data();
  return made(ossl::PKey(d2i_PUBKEY(nullptr, &next, static_cast<long>(der.size()))),
              "the key's public half cannot be read");
}

/// The key with its version, so that evidence is about no other.
keystore::KeyUri uri_of(const keystore::Key& key, keystore::KeyUri asked) {
  if (key.uri() != nullptr) asked.version = key.uri()->version;
  return asked;
}

Result<Contents> contents_for(const Parts& parts, const keystore::KeyUri& uri,
                              const keystore::Key& key, const RequestArguments& arguments) {
  Contents contents;
  contents.subject = VHSM_TRY(parse_subject(arguments.subject));
  contents.public_key = VHSM_TRY(public_half_of(key));
  contents.extensions.reset(sk_X509_EXTENSION_new_null());
  VHSM_TRY(add_alternatives(contents.extensions, arguments.alternatives));
  if (arguments.attest) {
    VHSM_TRY(add_evidence(contents.extensions, parts, uri_of(key, uri), arguments.nonce));
  }
  return contents;
}

// ---- DER ---------------------------------------------------------------------------------------

template <class Object>
Result<Bytes> encode(Object* object, int (*i2d)(Object*, unsigned char**)) {
  unsigned char* der = nullptr;
  const int size = i2d(object, &der);
  if (size <= 0) return fail(Errc::kCrypto, "what is to be signed cannot be encoded");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

Result<BitString> bit_string(const Bytes& bytes) {
  auto string = VHSM_TRY(made(BitString(ASN1_BIT_STRING_new()), "no memory for a signature"));
  ASN1_BIT_STRING_set(string.get(), const_cast<unsigned char*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  string->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 0x07);  // whole bytes
  string->flags |= ASN1_STRING_FLAG_BITS_LEFT;
  return string;
}

Result<ossl::X509Req> make_request(const Contents& contents, const KeySigner& signer) {
  ossl::X509Req request(X509_REQ_new());
  X509_REQ_set_version(request.get(), X509_REQ_VERSION_1);
  X509_REQ_set_subject_name(request.get(), contents.subject.get());
  X509_REQ_set_pubkey(request.get(), contents.public_key.get());
  if (sk_X509_EXTENSION_num(contents.extensions.get()) > 0) {
    VHSM_TRY(crypto(X509_REQ_add_extensions(request.get(), contents.extensions.get()),
                    "the request's extensions cannot be added"));
  }
  const Bytes info = VHSM_TRY(encode(request.get(), i2d_re_X509_REQ_tbs));
  const Bytes signature = VHSM_TRY(signer.sign(info));
  auto bits = VHSM_TRY(bit_string(signature));
  VHSM_TRY(crypto(
      X509_REQ_set1_signature_algo(request.get(), const_cast<X509_ALGOR*>(signer.algorithm())),
      "the request cannot be signed"));
  X509_REQ_set0_signature(request.get(), bits.release());
  return request;
}

/// From what the certificate says, which has a time in it: no two are alike.
Status set_serial(X509* certificate, const keystore::Key& key) {
  constexpr int kSerialBytes = 16;
  auto bytes = VHSM_TRY(key.public_key_info());
  const std::string now = std::to_string(std::time(nullptr));
  bytes.insert(bytes.end(), now.begin(), now.end());
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256(bytes.data(), bytes.size(), digest.data());
  digest[0] = (digest[0] & 0x7F) | 0x40;
  const Number number(BN_bin2bn(digest.data(), kSerialBytes, nullptr));
  const bool set = BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
  return crypto(set ? 1 : 0, "no memory for a serial number");
}

/// OpenSSL lends its own identifiers, and takes none but by a key that signs for it.
Status set_signature(X509* certificate, const KeySigner& signer) {
  const ASN1_BIT_STRING* value = nullptr;
  const X509_ALGOR* outer = nullptr;
  X509_get0_signature(&value, &outer, certificate);
  const std::array<const X509_ALGOR*, 2> both{outer, X509_get0_tbs_sigalg(certificate)};
  for (const X509_ALGOR* const one : both) {
    VHSM_TRY(crypto(X509_ALGOR_copy(const_cast<X509_ALGOR*>(one), signer.algorithm()),
                    "the certificate cannot be signed"));
  }
  const Bytes body = VHSM_TRY(encode(certificate, i2d_re_X509_tbs));
  const Bytes signature = VHSM_TRY(signer.sign(body));
  const auto bits = VHSM_TRY(bit_string(signature));
  auto* const into = const_cast<ASN1_BIT_STRING*>(value);
  VHSM_TRY(crypto(ASN1_STRING_copy(into, bits.get()), "the certificate cannot be signed"));
  return {};
}

Result<ossl::X509Cert> make_certificate(const Contents& contents, const keystore::Key& key,
                                        const KeySigner& signer, int days) {
  constexpr long kDaySeconds = 24L * 60 * 60;
  ossl::X509Cert certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  VHSM_TRY(set_serial(certificate.get(), key));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), days * kDaySeconds);
  X509_set_subject_name(certificate.get(), contents.subject.get());
  X509_set_issuer_name(certificate.get(), contents.subject.get());
  X509_set_pubkey(certificate.get(), contents.public_key.get());
  for (int i = 0; i < sk_X509_EXTENSION_num(contents.extensions.get()); ++i) {
    X509_EXTENSION* const extension = sk_X509_EXTENSION_value(contents.extensions.get(), i);
    VHSM_TRY(crypto(X509_add_ext(certificate.get(), extension, -1),
                    "the certificate's extensions cannot be added"));
  }
  VHSM_TRY(set_signature(certificate.get(), signer));
  return certificate;
}

// ---- the command -------------------------------------------------------------------------------

Status write_pem(const ossl::Bio& bio, const RequestArguments& arguments) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  const std::string_view pem(text, static_cast<std::size_t>(size));
  return arguments.out.empty() ? print(pem) : write_file(arguments.out, as_bytes(pem));
}

Result<Exit> run(const Console& console, const RequestArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(keystore::KeyUri::parse(arguments.name, parts.settings.kbs_path, true));
  const auto entry = VHSM_TRY(parts.keystore->open(uri));
  if (entry.key == nullptr || !entry.key->has_private()) {
    return fail(Errc::kNoPrivateKey, "a certificate is for a private key", uri.name.uri());
  }
  const auto signer = VHSM_TRY(KeySigner::create(*entry.key, arguments.terms));
  const auto contents = VHSM_TRY(contents_for(parts, uri, *entry.key, arguments));
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  if (arguments.self_signed) {
    const auto certificate =
        VHSM_TRY(make_certificate(contents, *entry.key, signer, arguments.days));
    PEM_write_bio_X509(bio.get(), certificate.get());
  } else {
    const auto request = VHSM_TRY(make_request(contents, signer));
    PEM_write_bio_X509_REQ(bio.get(), request.get());
  }
  VHSM_TRY(write_pem(bio, arguments));
  return Exit::kDone;
}

}  // namespace

void add_key_request(CLI::App& key, Console& console) {
  constexpr int kMostDays = 3650;
  const auto arguments = std::make_shared<RequestArguments>();
  CLI::App* const command = key.add_subcommand("csr", "Make a request for a certificate (PEM)");
  command->add_option("NAME", arguments->name, "URI or path of the key")->required();
  command->add_option("--subject", arguments->subject, "As openssl req -subj: /CN=www.example.com")
      ->required();
  command->add_option("--san", arguments->alternatives, "DNS:www.example.com, IP:192.0.2.1, ...")
      ->allow_extra_args(false);
  command->add_option("--digest", arguments->terms.digest, "SHA384, ...: to sign with");
  command->add_flag("--pss", arguments->terms.pss, "RSA: sign by PSS");
  CLI::Option* const attest =
      command->add_flag("--attest", arguments->attest, "With evidence of the key in it");
  command
      ->add_option("--nonce", arguments->nonce,
                   "For the evidence, of who wants it: 8 to 64 bytes, hex")
      ->needs(attest);
  CLI::Option* const self_signed = command->add_flag(
      "--self-signed", arguments->self_signed, "A certificate instead, signed by the key itself");
  command->add_option("--days", arguments->days, "How long the certificate is valid")
      ->check(CLI::Range(1, kMostDays))
      ->needs(self_signed);
  command->add_option("--out", arguments->out, "File to write instead of standard output");
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return run(console, *arguments); };
  });
}

}  // namespace vhsm::cli
