// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/handshake.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/handle.h"

namespace vhsm::tests {
namespace {

using Context = ossl::Handle<SSL_CTX, SSL_CTX_free>;
using Session = ossl::Handle<SSL, SSL_free>;

/// The handshake up to the server's Certificate, and its CertificateVerify.
struct Transcript {
  Bytes messages;
  Bytes verify;
};

void keep(int /*written*/, int /*version*/, int content_type, const void* data, std::size_t size,
          SSL* /*ssl*/, void* argument) {
  auto& transcript = *static_cast<Transcript*>(argument);
  const auto* const begin = static_cast<const std::uint8_t*>(data);
  if (content_type != SSL3_RT_HANDSHAKE || !transcript.verify.empty()) return;
  Bytes& to = begin[0] == SSL3_MT_CERTIFICATE_VERIFY ? transcript.verify : transcript.messages;
  to.insert(to.end(), begin, begin + size);
}

Bytes digest(const EVP_MD* algorithm, const Bytes& bytes) {
  Bytes result(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), result.data(), &size, algorithm, nullptr);
  result.resize(size);
  return result;
}

/// 64 blanks, a text, a zero byte and the hash of the handshake so far.
Bytes signed_content(const Bytes& hash) {
  Bytes content(64, ' ');
  for (const char c : std::string_view("TLS 1.3, server CertificateVerify")) {
    content.push_back(static_cast<unsigned char>(c));
  }
  content.push_back(0);
  content.insert(content.end(), hash.begin(), hash.end());
  return content;
}

/// The scheme follows the message's header of four bytes; those of ECDSA have the hash in their
/// first byte (RFC 8446, section 4.2.3).
std::string digest_of_scheme(const Bytes& verify) {
  switch (verify[4]) {
    case 5: return "SHA384";
    case 6: return "SHA512";
    default: return "SHA256";
  }
}

bool shake(SSL* ssl, const std::string& address) {
  BIO* const socket = BIO_new_connect(address.c_str());
  SSL_set_bio(ssl, socket, socket);
  const bool good = SSL_connect(ssl) == 1;
  if (good) SSL_shutdown(ssl);
  return good;
}

}  // namespace

Signature tls_signature(int port) {
  Transcript transcript;
  const Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_msg_callback(context.get(), keep);
  SSL_CTX_set_msg_callback_arg(context.get(), &transcript);
  const Session ssl(SSL_new(context.get()));
  if (!shake(ssl.get(), "127.0.0.1:" + std::to_string(port)) || transcript.verify.size() < 8) {
    return {};
  }
  const EVP_MD* const algorithm =
      SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl.get()));
  return {{transcript.verify.begin() + 8, transcript.verify.end()},
          signed_content(digest(algorithm, transcript.messages)),
          digest_of_scheme(transcript.verify)};
}

}  // namespace vhsm::tests
