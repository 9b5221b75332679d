// SPDX-License-Identifier: Apache-2.0
//
// Resources that their owner has signed.
#include "nitride/release_key.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "memory/protected_memory.h"
#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

SecretBytes secret_of(std::string_view text) {
  return SecretBytes::copy({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()})
      .value();
}

std::string public_pem(EVP_PKEY* key) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

class ReleaseKeyTest : public NitrideTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const std::string kind = GetParam();
    key = kind == "ED25519" ? ossl::PKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))
                            : ossl::PKey(EVP_EC_gen(kind.c_str()));
    settings.release_key = folder.write("release.pem", public_pem(key.get()));
    settings.require_signed_keys = true;
    settings.kbs = {kbs.url()};
  }
  std::string sign(const char* path, std::string_view resource) {
    const auto object = sign_resource(path, secret_of(resource), key.get());
    EXPECT_TRUE(object.ok()) << describe(object.error());
    return text_of(object.value());
  }
  /// What a fetch makes of a resource that reads so.
  std::string taken(const std::string& object) {
    kbs.hold("default/tls/www", object);
    return outcome();
  }

  FakeKbs kbs;
  ossl::PKey key;
};

TEST_P(ReleaseKeyTest, ASignedResourceIsTakenAndItsSignatureLeftBehind) {
  for (const std::size_t size : {0U, 1U, 23U, 24U, 255U, 256U, 65535U, 65536U}) {
    const std::string resource(size, 'k');
    EXPECT_TRUE(taken(sign("default/tls/www", resource)) == resource) << size;
  }
}

TEST_P(ReleaseKeyTest, AnUnsignedResourceIsForged) {
  EXPECT_EQ(taken("-----BEGIN PRIVATE KEY-----"), "forged");
  EXPECT_EQ(taken(""), "forged");
}

TEST_P(ReleaseKeyTest, AResourceThatIsSignedForAnotherNameIsForged) {
  EXPECT_EQ(taken(sign("default/tls/mail", "the key")), "forged");
  EXPECT_EQ(taken(sign("default/tls/ww", "w")), "forged");
}

TEST_P(ReleaseKeyTest, AResourceThatAnotherKeySignedIsForged) {
  const auto object = sign("default/tls/www", "the key");
  SetUp();  // another key
  EXPECT_EQ(taken(object), "forged");
}

TEST_P(ReleaseKeyTest, AnyChangedMissingOrAddedByteIsForged) {
  const std::string good = sign("default/tls/www", "the key");
  const auto release = ReleaseKey::load(settings);
  ASSERT_TRUE(release.ok());
  const auto refuses = [&](const std::string& object) {
    const auto opened = release.value().opened(name_of("default/tls/www"), secret_of(object));
    return !opened.ok() && opened.error().code == Errc::kForged;
  };
  for (std::size_t i = 1; i < good.size(); ++i) {  // the first byte is a tag that may be missing
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_TRUE(refuses(bad)) << i;
    EXPECT_TRUE(refuses(good.substr(0, i))) << i;
  }
  EXPECT_TRUE(refuses(good + "x"));
  EXPECT_TRUE(refuses(good.substr(0, 1) + good));
  EXPECT_FALSE(refuses(good.substr(1))) << "untagged";
}

TEST_P(ReleaseKeyTest, ItsSecretsStayInProtectedMemory) {
  kbs.hold("default/tls/www", sign("default/tls/www", "the key"));
  const auto secret = fetch();
  ASSERT_TRUE(secret.ok());
  EXPECT_TRUE(memory::contains(secret.value().expose().data()));
}
INSTANTIATE_TEST_SUITE_P(Keys, ReleaseKeyTest,
                         ::testing::Values("P-256", "P-384", "P-521", "ED25519"));

TEST_F(NitrideTest, ReleaseKeysOfOtherKindsAreRefused) {
  const ossl::PKey rsa(EVP_RSA_gen(2048));
  const ossl::PKey other(EVP_EC_gen("secp256k1"));
  EXPECT_EQ(sign_resource("a/b/c", secret_of("x"), rsa.get()).error().code, Errc::kUnsupported);
  for (const std::string& text :
       {public_pem(rsa.get()), public_pem(other.get()), std::string("garbage"), std::string()}) {
    settings.release_key = folder.write("release.pem", text);
    EXPECT_EQ(ReleaseKey::load(settings).error().code, Errc::kBadConfig);
  }
  settings.release_key = folder.file("none.pem");
  EXPECT_EQ(ReleaseKey::load(settings).error().code, Errc::kIo);
}

// Signed by python3-cryptography over bytes written down by RFC 9052's text: the structure is not
// only ours. The key is that of the seed 00..1f.
constexpr std::string_view kForeignObject =
    "d28443a10127a04e746865206b6579206f66207777775840d276f9497d1cd5449cc6fff088fcf3fdb45fe6bb30"
    "4cdf40d7f0c62d759a1436ed0c3dd023d4378765bd2e589e52df2a45325243697cb6633ff2cea5fdf32907";

TEST_F(NitrideTest, AnObjectOfAnotherImplementationIsTaken) {
  settings.release_key =
      folder.write("release.pem",
                   "-----BEGIN PUBLIC KEY-----\n"
                   "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n"
                   "-----END PUBLIC KEY-----\n");
  settings.require_signed_keys = true;
  FakeKbs kbs;
  settings.kbs = {kbs.url()};
  std::string object;
  const std::string_view hex = kForeignObject;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    object.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  kbs.hold("default/tls/www", object);
  EXPECT_EQ(outcome(), "the key of www");
}

}  // namespace
}  // namespace vhsm::nitride
