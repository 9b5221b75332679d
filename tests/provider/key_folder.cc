// SPDX-License-Identifier: Apache-2.0
#include "tests/provider/key_folder.h"

#include <gtest/gtest.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace vhsm::test {
namespace {

constexpr const char* kTypes[] = {"RSA", "RSA-PSS", "EC", "ED25519", "X25519", "ED448", "X448"};

LoadedProvider the_default(OSSL_LIB_CTX* ctx) { return load(ctx, "default"); }

ossl::PKey read_key(OSSL_LIB_CTX* ctx, const std::string& path) {
  const ossl::Bio in(BIO_new_file(path.c_str(), "r"));
  return ossl::PKey(PEM_read_bio_PrivateKey_ex(in.get(), nullptr, nullptr, nullptr, ctx, kDefault));
}

/// Removes the folder at exit.
struct Folder {
  std::string path;
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path); }
};

/// A vhsmd that serves `folder` and ends with this process.
/// @return its socket.
std::string start_daemon(const std::string& folder) {
  const std::string socket = folder + "/vhsmd.sock";
  const std::string command = std::string("exec " VHSM_FILES_VHSMD " ") + socket + " " + folder;
  FILE* const output = ::popen(command.c_str(), "r");  // closed at exit, as it lives so long
  std::array<char, 16> line{};
  EXPECT_NE(std::fgets(line.data(), line.size(), output), nullptr) << "no vhsmd";
  return socket;
}

const Folder& folder() {
  static const Folder made;
  return made;
}

}  // namespace

ossl::X509Cert self_signed(const Host& host, EVP_PKEY* key, const char* digest,
                           const Identity& identity) {
  ossl::X509Cert cert(X509_new_ex(host.ctx(), nullptr));
  X509_set_version(cert.get(), 2);
  BIGNUM* serial = nullptr;
  BN_dec2bn(&serial, identity.serial.c_str());
  const ossl::Bignum owned(serial);
  BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert.get()));
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 3600);
  X509_set_pubkey(cert.get(), key);
  X509_NAME* name = X509_get_subject_name(cert.get());
  const Bytes text(identity.name.begin(), identity.name.end());
  X509_NAME_add_entry_by_txt(name, "CN", identity.text_type, text.data(),
                             static_cast<int>(text.size()), -1, 0);
  X509_set_issuer_name(cert.get(), name);
  const ossl::MdCtx ctx(EVP_MD_CTX_new());
  const bool made =
      EVP_DigestSignInit_ex(ctx.get(), nullptr, digest, host.ctx(), nullptr, key, nullptr) == 1 &&
      X509_sign_ctx(cert.get(), ctx.get()) > 0;
  return made ? std::move(cert) : nullptr;
}

namespace {

Folder::Folder() {
  std::array<char, 64> name{"/tmp/vhsm-keys-XXXXXX"};
  path = ::mkdtemp(name.data());
  std::filesystem::create_directories(path + "/default/test");
  ::setenv("VHSM_TEST_KEYS", path.c_str(), 1);
  const Host host;
  for (const std::string type : kTypes) {
    const auto key = host.generate(type, {}, kDefault);
    const ossl::Bio out(BIO_new_file((path + "/default/test/" + type).c_str(), "w"));
    PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    const bool whole = type.starts_with("ED");
    if (type.starts_with("X")) continue;
    const auto cert = self_signed(host, key.get(), whole ? nullptr : "SHA256");
    EXPECT_EQ(PEM_write_bio_X509(out.get(), cert.get()), 1) << type << take_errors();
  }
  const char* const keystore = std::getenv("VHSM_TEST_KEYSTORE");
  if (keystore != nullptr && keystore == std::string("unix")) {
    ::setenv("VHSM_TEST_SOCKET", start_daemon(path).c_str(), 1);
  }
}

}  // namespace

KeyFolder::KeyFolder() { folder(); }

std::string KeyFolder::uri(const std::string& type) const { return "vhsm:default/test/" + type; }

const std::string& KeyFolder::path() const { return folder().path; }

std::string KeyFolder::pem(const std::string& type) const {
  std::ifstream in(path() + "/default/test/" + type);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void KeyFolder::put(const std::string& name, const std::string& pem) const {
  std::ofstream(path() + "/default/test/" + name) << pem;
}

ossl::PKey KeyFolder::in_default(const Host& host, const std::string& type) const {
  return read_key(host.ctx(), path() + "/default/test/" + type);
}

Bytes KeyFolder::private_bytes(const std::string& type) const {
  const ossl::LibCtx ctx(OSSL_LIB_CTX_new());
  const LoadedProvider provider = the_default(ctx.get());
  const auto key = read_key(ctx.get(), path() + "/default/test/" + type);
  BIGNUM* number = nullptr;
  const char* name = type.starts_with("RSA") ? "d" : "priv";
  if (EVP_PKEY_get_bn_param(key.get(), name, &number) == 1) {
    const ossl::Bignum owned(number);
    Bytes bytes(static_cast<std::size_t>(BN_num_bytes(number)));
    BN_bn2bin(number, bytes.data());
    return bytes;
  }
  Bytes bytes(64);
  std::size_t size = bytes.size();
  EXPECT_EQ(EVP_PKEY_get_raw_private_key(key.get(), bytes.data(), &size), 1);
  bytes.resize(size);
  take_errors();
  return bytes;
}

}  // namespace vhsm::test
