// SPDX-License-Identifier: Apache-2.0
//
// TLS with a vhsm key on the server's side, over memory BIOs.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <string>
#include <tuple>

#include "tests/kinds.h"
#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using SslCtx = ossl::Handle<SSL_CTX, SSL_CTX_free>;
using Ssl = ossl::Handle<SSL, SSL_free>;

struct Session {
  const char* name;
  std::string type;    ///< of the server's key
  int version;         ///< TLS1_2_VERSION or TLS1_3_VERSION
  const char* groups;  ///< null: the host's choice
  const char* ciphers = nullptr;
};

class TlsTest : public ::testing::TestWithParam<std::tuple<Session, Order>> {
 protected:
  [[nodiscard]] const Session& session() const { return std::get<0>(GetParam()); }

  [[nodiscard]] SslCtx context(const SSL_METHOD* method) const {
    SslCtx ctx(SSL_CTX_new_ex(host_.ctx(), nullptr, method));
    EXPECT_NE(ctx, nullptr) << take_errors();
    SSL_CTX_set_min_proto_version(ctx.get(), session().version);
    SSL_CTX_set_max_proto_version(ctx.get(), session().version);
    if (session().groups != nullptr) {
      EXPECT_EQ(SSL_CTX_set1_groups_list(ctx.get(), session().groups), 1) << take_errors();
    }
    if (session().ciphers != nullptr) SSL_CTX_set_cipher_list(ctx.get(), session().ciphers);
    return ctx;
  }

  [[nodiscard]] std::string first_group() const {
    const std::string groups = session().groups != nullptr ? session().groups : "";
    return groups.substr(0, groups.find(':'));
  }

  static bool shake_hands(SSL* server, SSL* client) {
    for (int i = 0; i < 20; ++i) {
      const int c = SSL_do_handshake(client);
      const int s = SSL_do_handshake(server);
      if (c == 1 && s == 1) return true;
      const auto waits = [](SSL* ssl, int rc) {
        return rc == 1 || SSL_get_error(ssl, rc) == SSL_ERROR_WANT_READ;
      };
      if (!waits(client, c) || !waits(server, s)) return false;
    }
    return false;
  }

  const Host host_{"vhsm", std::get<1>(GetParam())};
};

TEST_P(TlsTest, TheHandshakeSucceedsAndItsErrorQueueIsClean) {
  const bool whole = session().type.starts_with("ED") || session().type.starts_with("ML-DSA");
  const auto key = host_.generate(session().type);
  ASSERT_NE(key, nullptr) << take_errors();
  const auto cert = self_signed(host_, key.get(), whole ? nullptr : "SHA256");
  ASSERT_NE(cert, nullptr) << take_errors();

  const SslCtx server_ctx = context(TLS_server_method());
  ASSERT_EQ(SSL_CTX_use_certificate(server_ctx.get(), cert.get()), 1) << take_errors();
  ASSERT_EQ(SSL_CTX_use_PrivateKey(server_ctx.get(), key.get()), 1) << take_errors();
  ASSERT_EQ(SSL_CTX_check_private_key(server_ctx.get()), 1) << take_errors();
  const SslCtx client_ctx = context(TLS_client_method());
  X509_STORE_add_cert(SSL_CTX_get_cert_store(client_ctx.get()), cert.get());
  SSL_CTX_set_verify(client_ctx.get(), SSL_VERIFY_PEER, nullptr);

  const Ssl server(SSL_new(server_ctx.get()));
  const Ssl client(SSL_new(client_ctx.get()));
  BIO* up = nullptr;
  BIO* down = nullptr;
  ASSERT_EQ(BIO_new_bio_pair(&up, 0, &down, 0), 1);
  SSL_set_bio(server.get(), up, up);
  SSL_set_bio(client.get(), down, down);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  take_errors();
  EXPECT_TRUE(shake_hands(server.get(), client.get())) << take_errors();
  EXPECT_EQ(SSL_get_verify_result(client.get()), X509_V_OK);
  const std::string first = first_group();
  if (first.find('-') == std::string::npos && !first.empty()) {  // an alias of none
    const char* agreed =
        SSL_group_to_name(client.get(), static_cast<int>(SSL_get_negotiated_group(client.get())));
    EXPECT_STRCASEEQ(agreed, first.c_str());
  }
  EXPECT_EQ(take_errors(), "");
}

const Session kSessions[] = {
    {"Rsa12", "RSA", TLS1_2_VERSION, nullptr},
    {"Rsa12KeyTransport", "RSA", TLS1_2_VERSION, nullptr, "AES128-GCM-SHA256:@SECLEVEL=0"},
    {"Rsa13", "RSA", TLS1_3_VERSION, nullptr},
    {"RsaPss13", "RSA-PSS", TLS1_3_VERSION, nullptr},
    {"Ec12", "EC", TLS1_2_VERSION, "P-256"},
    {"Ec13", "EC", TLS1_3_VERSION, nullptr},
    {"Ec13P384", "EC", TLS1_3_VERSION, "P-384"},
    {"Ec13P521", "EC", TLS1_3_VERSION, "P-521"},
    {"Ec13X25519", "EC", TLS1_3_VERSION, "X25519"},
    {"Ec13X448", "EC", TLS1_3_VERSION, "X448"},
    {"Ec12P224", "EC", TLS1_2_VERSION, "secp224r1:P-256"},
    {"Ec12Secp256k1", "EC", TLS1_2_VERSION, "secp256k1:P-256"},
    {"Ec12Brainpool", "EC", TLS1_2_VERSION, "brainpoolP384r1:P-256"},
    {"Ed12", "ED25519", TLS1_2_VERSION, nullptr},
    {"Ed13", "ED25519", TLS1_3_VERSION, nullptr},
    {"Ed44813", "ED448", TLS1_3_VERSION, nullptr},
};

INSTANTIATE_TEST_SUITE_P(Sessions, TlsTest,
                         ::testing::Combine(::testing::ValuesIn(kSessions),
                                            ::testing::Values(Order::kDefaultFirst,
                                                              Order::kVhsmFirst)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param).name) +
                                  (std::get<1>(test.param) == Order::kVhsmFirst ? "VhsmFirst"
                                                                                : "DefaultFirst");
                         });

// OpenSSL's own providers know these groups since 3.2 only.
const Session kBrainpoolSessions[] = {
    {"Ec13Brainpool256", "EC", TLS1_3_VERSION, "brainpoolP256r1tls13"},
    {"Ec13Brainpool384", "EC", TLS1_3_VERSION, "brainpoolP384r1tls13"},
    {"Ec13Brainpool512", "EC", TLS1_3_VERSION, "brainpoolP512r1tls13"},
};

INSTANTIATE_TEST_SUITE_P(Brainpool, TlsTest,
                         ::testing::Combine(::testing::ValuesIn(kBrainpoolSessions),
                                            ::testing::Values(Order::kVhsmFirst)),
                         [](const auto& test) { return std::get<0>(test.param).name; });

#if OPENSSL_VERSION_NUMBER >= 0x30500000L
const Session kPostQuantumSessions[] = {
    {"MlDsa44", "ML-DSA-44", TLS1_3_VERSION, nullptr},
    {"MlDsa65", "ML-DSA-65", TLS1_3_VERSION, nullptr},
    {"MlDsa87", "ML-DSA-87", TLS1_3_VERSION, "X25519"},
    {"MlKem512", "EC", TLS1_3_VERSION, "MLKEM512"},
    {"MlKem768", "ML-DSA-65", TLS1_3_VERSION, "MLKEM768"},
    {"MlKem1024", "RSA", TLS1_3_VERSION, "MLKEM1024"},
    {"Hybrid768", "ML-DSA-65", TLS1_3_VERSION, "X25519MLKEM768"},
    {"Hybrid1024", "EC", TLS1_3_VERSION, "SecP384r1MLKEM1024"},
};

INSTANTIATE_TEST_SUITE_P(PostQuantum, TlsTest,
                         ::testing::Combine(::testing::ValuesIn(kPostQuantumSessions),
                                            ::testing::Values(Order::kDefaultFirst,
                                                              Order::kVhsmFirst)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param).name) +
                                  (std::get<1>(test.param) == Order::kVhsmFirst ? "VhsmFirst"
                                                                                : "DefaultFirst");
                         });

TEST(TlsSignatureTest, MlDsaIsToldWithItsCodePoints) {
  const Host host;
  std::set<unsigned> code_points;
  const auto tell = [](const OSSL_PARAM params[], void* arg) {
    unsigned code_point = 0;
    const OSSL_PARAM* param =
        OSSL_PARAM_locate_const(params, OSSL_CAPABILITY_TLS_SIGALG_CODE_POINT);
    EXPECT_EQ(OSSL_PARAM_get_uint(param, &code_point), 1);
    static_cast<std::set<unsigned>*>(arg)->insert(code_point);
    return 1;
  };
  EXPECT_EQ(OSSL_PROVIDER_get_capabilities(host.vhsm(), "TLS-SIGALG", tell, &code_points), 1);
  EXPECT_EQ(code_points, (std::set<unsigned>{0x0904, 0x0905, 0x0906}));
}
#endif

struct Groups {
  std::set<std::string> inner_names;
  bool complete = true;
};

TEST(TlsGroupTest, EachGroupIsToldWithItsKeyTypeAndEachAlias) {
  const Host host;
  Groups groups;
  const auto tell = [](const OSSL_PARAM params[], void* arg) {
    auto& seen = *static_cast<Groups*>(arg);
    const char* name = nullptr;
    const OSSL_PARAM* inner =
        OSSL_PARAM_locate_const(params, OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL);
    if (inner != nullptr && OSSL_PARAM_get_utf8_string_ptr(inner, &name) == 1) {
      seen.inner_names.insert(name);
    }
    for (const char* part :
         {OSSL_CAPABILITY_TLS_GROUP_NAME, OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL,
          OSSL_CAPABILITY_TLS_GROUP_ID, OSSL_CAPABILITY_TLS_GROUP_ALG,
          OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS}) {
      seen.complete = seen.complete && OSSL_PARAM_locate_const(params, part) != nullptr;
    }
    return 1;
  };
  EXPECT_EQ(OSSL_PROVIDER_get_capabilities(host.vhsm(), "TLS-GROUP", tell, &groups), 1);
  std::set<std::string> expected;
  for (const auto& kind : tests::kinds_that(
           [](const tests::Kind& k) { return k.exchanges() || k.type->is_own_group(); })) {
    const bool curve = !kind.detail.empty();
    // The twisted curves are no groups of TLS.
    if (!kind.detail.ends_with("t1")) expected.insert(curve ? kind.detail : kind.name);
  }
  EXPECT_EQ(groups.inner_names, expected);
  EXPECT_TRUE(groups.complete);
}

}  // namespace
}  // namespace vhsm::test
