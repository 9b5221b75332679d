// SPDX-License-Identifier: Apache-2.0
#include "nitride/tls.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "keystore/fips.h"
#include "memory/protected_memory.h"

namespace vhsm::ossl {
using DecoderCtx = Handle<OSSL_DECODER_CTX, OSSL_DECODER_CTX_free>;
/// Frees the stack alone: its certificates belong to others.
struct BorrowedCerts {
  STACK_OF(X509) * stack;
  BorrowedCerts() : stack(sk_X509_new_null()) {}
  ~BorrowedCerts() { sk_X509_free(stack); }
  BorrowedCerts(const BorrowedCerts&) = delete;
  BorrowedCerts& operator=(const BorrowedCerts&) = delete;
};
}  // namespace vhsm::ossl

namespace vhsm::nitride {
namespace {

constexpr int kSecurityLevel = 2;  // 112 bits, SSL_CTX_set_security_level(3)

int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return -1; }

Result<ossl::Bio> reader(std::string_view pem) {
  if (pem.size() > INT_MAX) return fail(Errc::kBadLength, "PEM text of more than 2 GiB");
  return made(ossl::Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))),
              "no buffer for PEM text");
}

/// @param path  where they come from, for the error.
Result<std::vector<ossl::X509Cert>> parse_certificates(const std::string& pem,
                                                       const std::string& path,
                                                       OSSL_LIB_CTX* library) {
  const ossl::ErrorMark quiet;  // the end of the text is an error to libcrypto
  const auto bio = VHSM_TRY(reader(pem));
  std::vector<ossl::X509Cert> found;
  for (;;) {
    X509* raw = X509_new_ex(library, nullptr);  // its key will be decoded in this context
    if (raw == nullptr) return fail(Errc::kCrypto, "no memory for a certificate");
    // On failure PEM_read_bio_X509 frees `raw` and sets it to null.
    if (PEM_read_bio_X509(bio.get(), &raw, no_passphrase, nullptr) == nullptr) {
      X509_free(raw);
      break;
    }
    found.emplace_back(raw);
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return fail(Errc::kBadConfig, "a certificate does not parse", path);
  }
  return found;
}

/// Fetches all decoders, so that their book-keeping (hundreds of KiB) is in the ordinary heap and
/// not in the arena.
void warm_up_decoders(OSSL_LIB_CTX* library) {
  EVP_PKEY* none = nullptr;
  const ossl::DecoderCtx unused(OSSL_DECODER_CTX_new_for_pkey(&none, "PEM", nullptr, nullptr,
                                                              EVP_PKEY_KEYPAIR, library, nullptr));
}

struct VerifySentence {
  int code;
  Literal sentence;
};

// X509_STORE_CTX_get_error(3); Literal, because an error's sentence cannot come from a library.
constexpr VerifySentence kVerifySentences[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED,
     "the KBS's certificate does not verify: it has expired (or this VM's clock is ahead)"},
    {X509_V_ERR_CERT_NOT_YET_VALID,
     "the KBS's certificate does not verify: it is not valid yet (check this VM's clock)"},
    {X509_V_ERR_HOSTNAME_MISMATCH,
     "the KBS's certificate does not verify: it is for another host name than the one in kbs"},
    {X509_V_ERR_IP_ADDRESS_MISMATCH,
     "the KBS's certificate does not verify: it is for another address than the one in kbs"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
     "the KBS's certificate does not verify: it is self-signed and not in kbs_ca"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
     "the KBS's certificate does not verify: its root is not in kbs_ca"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
     "the KBS's certificate does not verify: its issuer is not in kbs_ca"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
     "the KBS's certificate does not verify: its issuer is not in kbs_ca"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
     "the KBS's certificate does not verify: its issuer is not in kbs_ca"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE,
     "the KBS's certificate does not verify: its signature is wrong (kbs_ca has another key)"},
    {X509_V_ERR_INVALID_CA,
     "the KBS's certificate does not verify: an issuer of it is no certificate authority"},
    {X509_V_ERR_INVALID_PURPOSE,
     "the KBS's certificate does not verify: it is not for TLS servers"},
    {X509_V_ERR_EE_KEY_TOO_SMALL, "the KBS's certificate does not verify: its key is too small"},
    {X509_V_ERR_CA_KEY_TOO_SMALL,
     "the KBS's certificate does not verify: its issuer's key is too small"},
    {X509_V_ERR_CA_MD_TOO_WEAK,
     "the KBS's certificate does not verify: it is signed with a weak digest"},
};

Literal verify_sentence(long code) {
  for (const VerifySentence& one : kVerifySentences) {
    if (one.code == code) return one.sentence;
  }
  return "the KBS's certificate does not verify (kbs_ca names whom to trust)";
}

Error tls_error(int reason) {
  switch (reason) {
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_BAD_SIGNATURE:
    case SSL_R_DIGEST_CHECK_FAILED:
      return fail(Errc::kForged, "what came over TLS does not authenticate");
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return fail(Errc::kUnreachable,
                  "the KBS wants another TLS client certificate (kbs_cert, kbs_key)");
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return fail(Errc::kUnreachable,
                  "the KBS refuses the TLS handshake: no common cipher, or no client certificate");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return fail(Errc::kUnreachable, "the KBS speaks no TLS 1.2 or newer");
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST: return fail(Errc::kUnreachable, "the KBS does not speak TLS");
    default: return fail(Errc::kUnreachable, "the TLS connection with the KBS failed");
  }
}

/// SSL_get_error() reads the thread's error queue, so what others left there would be taken for
/// ours. In the module the queue is the private OpenSSL's, which nobody else reads.
void forget_old_errors() { ERR_clear_error(); }

/// Suspends the handshake until present_identity() has run.
int ask_for_identity(SSL* ssl, void* /*unused*/) {
  return SSL_get_certificate(ssl) != nullptr ? 1 : -1;
}

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::create(const TlsMaterial& material) {
  const ossl::ErrorMark quiet;
  std::unique_ptr<TlsContext> tls(new TlsContext);
  // Without this the first SSL_CTX would load the host's openssl.cnf, and with it this provider.
  VHSM_TRY(crypto(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr), "TLS does not start"));
  if (!keystore::fips_is_on()) VHSM_TRY(tls->make_library());
  tls->pins_ = material.pins;
  VHSM_TRY(tls->prepare_ssl());
  VHSM_TRY(tls->trust(material));
  if (!material.certificate_pem.empty()) VHSM_TRY(tls->load_identity(material));
  return tls;
}

Status TlsContext::make_library() {
  library_ = VHSM_TRY(made(ossl::LibCtx(OSSL_LIB_CTX_new()), "no library context for TLS"));
  default_provider_ = VHSM_TRY(
      made(ossl::Provider(OSSL_PROVIDER_load(library(), "default")), "no default provider"));
  return {};
}

Status TlsContext::prepare_ssl() {
  context_ = VHSM_TRY(
      made(ossl::SslCtx(SSL_CTX_new_ex(library(), nullptr, TLS_client_method())), "no TLS"));
  SSL_CTX* context = context_.get();
  VHSM_TRY(crypto(static_cast<int>(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)),
                  "no TLS 1.2"));
  SSL_CTX_set_security_level(context, kSecurityLevel);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return {};
}

Status TlsContext::trust(const TlsMaterial& material) {
  const auto roots = VHSM_TRY(parse_certificates(material.ca_pem, material.ca_path, library()));
  if (roots.empty() && !material.ca_path.empty()) {
    return fail(Errc::kBadConfig, "this file has no certificate to trust", material.ca_path);
  }
  X509_STORE* store = SSL_CTX_get_cert_store(context_.get());
  for (const ossl::X509Cert& root : roots) {
    VHSM_TRY(crypto(X509_STORE_add_cert(store, root.get()), "a certificate cannot be trusted"));
  }
  return {};
}

Status TlsContext::load_identity(const TlsMaterial& material) {
  const std::string& path = material.certificate_path;
  chain_ = VHSM_TRY(parse_certificates(material.certificate_pem, path, library()));
  if (chain_.empty()) return fail(Errc::kBadConfig, "this file has no certificate of ours", path);
  warm_up_decoders(library());
  key_ = VHSM_TRY(memory::run_protected([&]() -> Result<ossl::PKey> {
    const auto pem = material.key_pem.expose();
    const ossl::Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    ossl::PKey key(
        PEM_read_bio_PrivateKey_ex(bio.get(), nullptr, no_passphrase, nullptr, library(), nullptr));
    if (key == nullptr)
      return fail(Errc::kBadConfig, "this file has no unencrypted PEM key", material.key_path);
    if (X509_check_private_key(chain_.front().get(), key.get()) != 1) {
      return fail(Errc::kBadConfig, "kbs_key is not the key of kbs_cert", material.key_path);
    }
    return key;
  }));
  SSL_CTX_set_cert_cb(context_.get(), ask_for_identity, nullptr);
  return {};
}

Result<TlsSession> TlsContext::begin(const Endpoint& endpoint) const {
  ossl::Ssl ssl = VHSM_TRY(made(ossl::Ssl(SSL_new(context_.get())), "no TLS session"));
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), in, out);  // owns both from here; null ones fail at the first use
  if (in == nullptr || out == nullptr) return fail(Errc::kCrypto, "no buffers for TLS");
  SSL_set_connect_state(ssl.get());
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl.get());
  X509_VERIFY_PARAM_set_hostflags(
      param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const std::string& host = endpoint.host;
  const ossl::ErrorMark quiet;
  if (X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str()) != 1) {
    VHSM_TRY(crypto(SSL_set1_host(ssl.get(), host.c_str()), "no host name for TLS"));
    // SSL_set_tlsext_host_name(), which casts in the old style.
    VHSM_TRY(crypto(
        static_cast<int>(SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                  TLSEXT_NAMETYPE_host_name, const_cast<char*>(host.c_str()))),
        "no server name for TLS"));
  }
  return TlsSession(std::move(ssl), *this);
}

/// @return what SSL_get_error() says.
int TlsSession::advance() {
  forget_old_errors();
  return SSL_get_error(ssl_.get(), SSL_do_handshake(ssl_.get()));
}

/// Our certificate and the signature with its key: the one part of TLS that works on a long-term
/// secret, so it runs in a ProtectedScope, as pure computation between two buffers.
int TlsSession::present_identity() {
  const ossl::BorrowedCerts rest;
  for (std::size_t i = 1; i < context_->chain_.size(); ++i) {
    if (sk_X509_push(rest.stack, context_->chain_[i].get()) <= 0) return SSL_ERROR_SSL;
  }
  const auto answer = memory::run_protected([&]() -> Result<int> {
    VHSM_TRY(crypto(SSL_use_cert_and_key(ssl_.get(), context_->chain_.front().get(),
                                         context_->key_.get(), rest.stack, 1),
                    "the TLS client key cannot be used"));
    return advance();
  });
  return answer.ok() ? answer.value() : SSL_ERROR_SSL;
}

Result<TlsSession::Step> TlsSession::handshake() {
  int state = advance();
  if (state == SSL_ERROR_WANT_X509_LOOKUP) state = present_identity();
  if (state == SSL_ERROR_WANT_READ) return Step{0, true};
  if (state != SSL_ERROR_NONE) return failure();
  VHSM_TRY(check_pin());
  return Step{};
}

Error TlsSession::failure() const {
  const long verdict = SSL_get_verify_result(ssl_.get());
  if (verdict != X509_V_OK) return fail(Errc::kForged, verify_sentence(verdict));
  const Error error = tls_error(ERR_GET_REASON(ERR_peek_last_error()));
  ERR_clear_error();
  return error;
}

Status TlsSession::check_pin() const {
  if (context_->pins_.empty()) return {};
  const ossl::X509Cert server(SSL_get1_peer_certificate(ssl_.get()));
  if (server == nullptr) return fail(Errc::kForged, "the KBS shows no certificate");
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(server.get()), &der);
  Pin pin{};
  const bool hashed =
      size > 0 && EVP_Q_digest(context_->library(), "SHA2-256", nullptr, der,
                               static_cast<std::size_t>(size), pin.data(), nullptr) == 1;
  OPENSSL_free(der);
  if (!hashed) return fail(Errc::kCrypto, "the KBS's public key cannot be hashed");
  if (std::ranges::find(context_->pins_, pin) != context_->pins_.end()) return {};
  return fail(Errc::kForged, "the KBS's public key is none of kbs_pin");
}

Result<TlsSession::Step> TlsSession::read(std::span<char> into) {
  forget_old_errors();
  std::size_t got = 0;
  const int rc = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
  if (rc == 1) return Step{got, false};
  switch (SSL_get_error(ssl_.get(), rc)) {
    case SSL_ERROR_WANT_READ: return Step{0, true};
    case SSL_ERROR_ZERO_RETURN: return Step{};
    default: return failure();
  }
}

Status TlsSession::write(std::string_view data) {
  forget_old_errors();
  std::size_t written = 0;
  if (SSL_write_ex(ssl_.get(), data.data(), data.size(), &written) == 1) return {};
  return failure();
}

Status TlsSession::feed(std::span<const char> received) {
  std::size_t taken = 0;
  return crypto(BIO_write_ex(SSL_get_rbio(ssl_.get()), received.data(), received.size(), &taken),
                "no memory for what came over TLS");
}

std::string_view TlsSession::outgoing() const noexcept {
  char* data = nullptr;
  const long size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &data);
  return size <= 0 ? std::string_view{} : std::string_view(data, static_cast<std::size_t>(size));
}

void TlsSession::sent() noexcept { static_cast<void>(BIO_reset(SSL_get_wbio(ssl_.get()))); }

const char* TlsSession::version() const noexcept { return SSL_get_version(ssl_.get()); }

}  // namespace vhsm::nitride
