// SPDX-License-Identifier: Apache-2.0
//
// TLS to a KBS: pure computation between two buffers, so that no step of it can block, raise
// SIGPIPE or (where the client key is used) do I/O inside a ProtectedScope.
// Source: RFC 8446; RFC 6125 (host names); RFC 7469, section 2.4 (what a pin is the hash of).
#pragma once

#include <openssl/provider.h>
#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.h"
#include "base/handle.h"
#include "base/result.h"
#include "base/settings.h"
#include "memory/secret_bytes.h"

namespace vhsm::ossl {
using Provider = Handle<OSSL_PROVIDER, OSSL_PROVIDER_unload>;
using Ssl = Handle<SSL, SSL_free>;
using SslCtx = Handle<SSL_CTX, SSL_CTX_free>;
}  // namespace vhsm::ossl

namespace vhsm::nitride {

/// SHA-256 of a SubjectPublicKeyInfo.
using Pin = std::array<std::uint8_t, 32>;

/// The files behind kbs_ca, kbs_cert and kbs_key, read once: later the process may be in a chroot,
/// and a forked child makes its own TlsContext from them.
struct TlsMaterial {
  std::string ca_pem;           ///< certificates to trust
  std::string certificate_pem;  ///< ours, leaf first; empty: none
  SecretBytes key_pem;          ///< its key
  std::string ca_path;          ///< kbs_ca; empty: the system's bundle
  std::string certificate_path;
  std::string key_path;
  std::vector<Pin> pins;  ///< any of them must be the server's; empty: none is asked for

  /// Without kbs_ca the system's bundle is taken.
  /// @errors kIo, kBadConfig (subject: the file or the pin), kMemoryLimit.
  static Result<TlsMaterial> load(const Settings& settings);
};

class TlsSession;

/// A library context of our own with everything that TLS needs, so that its locks are not those of
/// the key operations; with FIPS the private OpenSSL's one, since a FIPS provider keeps its random
/// generators for each context, and only that one's lie in protected memory. Thread-safe, but not
/// across fork().
class TlsContext {
 public:
  /// @errors kBadConfig for certificates or a key that do not parse or fit; kCrypto, kMemoryLimit.
  static Result<std::unique_ptr<TlsContext>> create(const TlsMaterial& material);

  /// A connection's TLS, before the handshake. The context must outlive it.
  /// @errors kCrypto.
  [[nodiscard]] Result<TlsSession> begin(const Endpoint& endpoint) const;

  [[nodiscard]] OSSL_LIB_CTX* library() const noexcept { return library_.get(); }

 private:
  friend class TlsSession;
  TlsContext() = default;
  Status make_library();
  Status trust(const TlsMaterial& material);
  Status load_identity(const TlsMaterial& material);
  Status prepare_ssl();

  ossl::LibCtx library_;  // freed last; null: the private OpenSSL's own
  ossl::Provider default_provider_;
  ossl::SslCtx context_;
  std::vector<ossl::X509Cert> chain_;  ///< our certificate and what signed it
  ossl::PKey key_;                     ///< in protected memory
  std::vector<Pin> pins_;
};

/// One side of one TLS connection. Move-only; one thread at a time.
class TlsSession {
 public:
  struct Step {
    std::size_t bytes = 0;     ///< of plaintext that were read
    bool wants_input = false;  ///< nothing to be had before feed(); else 0 bytes mean the end
  };

  /// Goes on with the handshake; verifies the server's certificate, name and pin before it ends.
  /// @return wants_input, or done.
  /// @errors kForged when the server is not who it should be; kUnreachable when it does not speak
  ///         TLS with us; kForked.
  Result<Step> handshake();

  /// @errors kForged for a record that does not authenticate, kUnreachable.
  Result<Step> read(std::span<char> into);
  /// @errors kUnreachable.
  Status write(std::string_view data);

  /// Hands over what came from the network. @errors kOutOfMemory.
  Status feed(std::span<const char> received);
  /// What must go to the network next; valid until the next call.
  [[nodiscard]] std::string_view outgoing() const noexcept;
  void sent() noexcept;

  [[nodiscard]] const char* version() const noexcept;  ///< "TLSv1.3"

 private:
  friend class TlsContext;
  TlsSession(ossl::Ssl ssl, const TlsContext& context) : ssl_(std::move(ssl)), context_(&context) {}
  [[nodiscard]] Error failure() const;
  int advance();
  int present_identity();
  Status check_pin() const;

  ossl::Ssl ssl_;
  const TlsContext* context_;
};

}  // namespace vhsm::nitride
