// SPDX-License-Identifier: Apache-2.0
#include "provider/key_encoder.h"

#include <openssl/bio.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/handle.h"
#include "provider/der.h"
#include "provider/stand_in.h"

namespace vhsm::provider {
namespace {

using Der = std::vector<std::uint8_t>;

constexpr int kPrivate = OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
constexpr int kPublic = OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
constexpr int kParameters = OSSL_KEYMGMT_SELECT_ALL_PARAMETERS;

int parts_of(Form form) noexcept {
  switch (form) {
    case Form::kPublicKeyInfoDer:
    case Form::kPublicKeyInfoPem: return kPublic;
    case Form::kPrivateDer:
    case Form::kPrivatePem:
    case Form::kEncryptedPem: return kPrivate;
    case Form::kPkcs1Der:
    case Form::kPkcs1Pem: return kPrivate | kPublic;
    case Form::kText: break;
  }
  return kPrivate | kPublic | kParameters;
}

bool is_pem(Form form) noexcept {
  return form == Form::kPrivatePem || form == Form::kPkcs1Pem || form == Form::kPublicKeyInfoPem;
}

/// RSAPublicKey out of a SubjectPublicKeyInfo.
Result<Der> pkcs1_public_key(const Der& public_key_info) {
  der::Reader outer(public_key_info);
  const auto contents = VHSM_TRY(outer.take(der::kSequence));
  der::Reader reader(contents);
  [[maybe_unused]] const auto algorithm = VHSM_TRY(reader.take(der::kSequence));
  const auto bits = VHSM_TRY(reader.take(der::kBitString));
  if (bits.empty() || bits.front() != 0) return fail(Errc::kBadFormat, "not an RSA public key");
  return Der(bits.begin() + 1, bits.end());
}

std::string uri_of(const keystore::KeyUri& uri) {
  std::string text = uri.name.uri();
  if (uri.version.has_value()) text += "?version=" + std::to_string(*uri.version);
  return text;
}

Status write_stand_in(const ossl::Core& core, const KeyHandle& handle, OSSL_CORE_BIO* out) {
  const keystore::KeyUri* uri = handle.key()->uri();
  if (uri == nullptr) {
    return fail(Errc::kNotExportable, "a key without a name has no stand-in", handle.name());
  }
  StandIn stand_in{.uri = uri_of(*uri), .type = handle.type().name, .public_key_info = {}};
  stand_in.public_key_info = VHSM_TRY(handle.key()->public_key_info());
  return core.write(out, to_pem(kStandInLabel, encode_stand_in(stand_in)));
}

Status write_private(const ossl::Core& core, const KeyHandle& handle, Form form,
                     OSSL_CORE_BIO* out) {
  if (!handle.held()) return fail(Errc::kNoPrivateKey, "the key has no private part");
  if (is_pem(form)) return write_stand_in(core, handle, out);
  return fail(Errc::kNotExportable, "the private key cannot be written", handle.name());
}

Status write_public(const ossl::Core& core, const KeyHandle& handle, Form form,
                    OSSL_CORE_BIO* out) {
  const bool pkcs1 = form == Form::kPkcs1Der || form == Form::kPkcs1Pem;
  Der der = VHSM_TRY(handle.key()->public_key_info());
  if (pkcs1) der = VHSM_TRY(pkcs1_public_key(der));
  if (!is_pem(form)) return core.write(out, std::span<const std::uint8_t>(der));
  return core.write(out, to_pem(pkcs1 ? "RSA PUBLIC KEY" : "PUBLIC KEY", der));
}

/// What OpenSSL prints of a public key.
Result<std::string> public_text(const Der& public_key_info) {
  const unsigned char* next = public_key_info.data();
  const auto key = VHSM_TRY(
      made(ossl::PKey(d2i_PUBKEY(nullptr, &next, static_cast<long>(public_key_info.size()))),
           "the public key does not decode"));
  const auto bio = VHSM_TRY(made(ossl::Bio(BIO_new(BIO_s_mem())), "no buffer"));
  VHSM_TRY(crypto(EVP_PKEY_print_public(bio.get(), key.get(), 0, nullptr),
                  "the public key cannot be printed"));
  std::string text(static_cast<std::size_t>(BIO_pending(bio.get())), '\0');
  VHSM_TRY(crypto(BIO_read(bio.get(), text.data(), static_cast<int>(text.size())) ==
                          static_cast<int>(text.size())
                      ? 1
                      : 0,
                  "the public key cannot be printed"));
  return text;
}

/// How long a key lasts that nobody else has.
std::string_view lasting(const keystore::Key& key) noexcept {
  if (key.uri() == nullptr || key.keeping() == keystore::Keeping::kStored) return {};
  return "It was generated and is stored nowhere: it ends with the process that holds it.\n";
}

Status write_text(const ossl::Core& core, const KeyHandle& handle, OSSL_CORE_BIO* out) {
  std::string text;
  if (handle.held()) {
    text.append("VHSM ").append(handle.type().name).append(" Private-Key, ");
    text.append(handle.name()).append("\n");
    text.append("The private part is in protected memory and cannot be printed.\n");
    text.append(lasting(*handle.key()));
  }
  const Der der = VHSM_TRY(handle.key()->public_key_info());
  text += VHSM_TRY(public_text(der));
  return core.write(out, text);
}

}  // namespace

bool form_serves(Form form, keystore::Selection selection) noexcept {
  if (selection == 0) return true;  // the caller wants us to guess
  // The most telling part that is asked for decides, as in OpenSSL's own encoders.
  for (const int part : {kPrivate, kPublic, kParameters}) {
    if ((selection & part) != 0) return (parts_of(form) & part) != 0;
  }
  return false;
}

Status write_key(const ossl::Core& core, const KeyHandle& handle, Form form,
                 keystore::Selection selection, OSSL_CORE_BIO* out) {
  if (handle.key() == nullptr) return fail(Errc::kWrongState, "the key is empty");
  if (form == Form::kText) return write_text(core, handle, out);
  const bool may_be_private = (parts_of(form) & kPrivate) != 0;
  const bool only_private = parts_of(form) == kPrivate;
  if (only_private || (may_be_private && (selection & kPrivate) != 0)) {
    return write_private(core, handle, form, out);
  }
  return write_public(core, handle, form, out);
}

}  // namespace vhsm::provider
