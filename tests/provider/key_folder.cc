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

#include "tests/kinds.h"

namespace vhsm::test {
namespace {

LoadedProvider the_default(OSSL_LIB_CTX* ctx) { return load(ctx, "default"); }

ossl::PKey read_key(OSSL_LIB_CTX* ctx, const std::string& path) {
  const ossl::Bio in(BIO_new_file(path.c_str(), "r"));
  return ossl::PKey(PEM_read_bio_PrivateKey_ex(in.get(), nullptr, nullptr, nullptr, ctx, kDefault));
}

tests::Kind kind_called(const std::string& name) {
  if (name == "EC") return kind_called("P-256");
  const auto kinds = tests::kinds_that([&](const auto& kind) { return kind.name == name; });
  EXPECT_EQ(kinds.size(), 1U) << name;
  return kinds.front();
}

/// A key, and a certificate if it signs.
void add_key(const tests::Kind& kind, const std::string& file) {
  const Host host;
  const auto key = host.generate(kind.type->name, kind.detail, kDefault);
  const ossl::Bio out(BIO_new_file(file.c_str(), "w"));
  PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  if (!kind.signs()) return;
  const auto cert = self_signed(host, key.get(), kind.digest());
  EXPECT_EQ(PEM_write_bio_X509(out.get(), cert.get()), 1) << kind.name << take_errors();
}

/// Some 32 bytes and more that no public key has; the rest of a private key may have it inside.
/// Source: FIPS 203, section 7.1; FIPS 204, section 7.2; FIPS 205, section 9.1.
Bytes secret_part(keystore::Family family, const Bytes& all) {
  const auto part = [&](std::size_t from, std::size_t to) {
    return Bytes(all.begin() + static_cast<std::ptrdiff_t>(from),
                 all.begin() + static_cast<std::ptrdiff_t>(to));
  };
  switch (family) {
    case keystore::Family::kMlKem: return part(0, 64);
    case keystore::Family::kMlDsa: return part(32, 64);
    case keystore::Family::kSlhDsa: return part(0, all.size() / 2);
    default: return all;
  }
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
  const char* const keystore = std::getenv("VHSM_TEST_KEYSTORE");
  if (keystore != nullptr && keystore == std::string("unix")) {
    ::setenv("VHSM_TEST_SOCKET", start_daemon(path).c_str(), 1);
  }
}

}  // namespace

KeyFolder::KeyFolder() { folder(); }

std::string KeyFolder::file(const std::string& kind) const {
  const std::string file = path() + "/default/test/" + kind;
  if (!std::filesystem::exists(file)) add_key(kind_called(kind), file);
  return file;
}

std::string KeyFolder::uri(const std::string& kind) const {
  static_cast<void>(file(kind));
  return "vhsm:default/test/" + kind;
}

const std::string& KeyFolder::path() const { return folder().path; }

std::string KeyFolder::pem(const std::string& kind) const {
  std::ifstream in(file(kind));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void KeyFolder::put(const std::string& name, const std::string& pem) const {
  std::ofstream(path() + "/default/test/" + name) << pem;
}

ossl::PKey KeyFolder::in_default(const Host& host, const std::string& kind) const {
  return read_key(host.ctx(), file(kind));
}

Bytes KeyFolder::private_bytes(const std::string& kind) const {
  const ossl::LibCtx ctx(OSSL_LIB_CTX_new());
  const LoadedProvider provider = the_default(ctx.get());
  const auto key = read_key(ctx.get(), file(kind));
  BIGNUM* number = nullptr;
  const char* name = kind.starts_with("RSA") ? "d" : "priv";
  if (EVP_PKEY_get_bn_param(key.get(), name, &number) == 1) {
    const ossl::Bignum owned(number);
    Bytes bytes(static_cast<std::size_t>(BN_num_bytes(number)));
    BN_bn2bin(number, bytes.data());
    return bytes;
  }
  Bytes bytes(8192);
  std::size_t size = bytes.size();
  EXPECT_EQ(EVP_PKEY_get_raw_private_key(key.get(), bytes.data(), &size), 1);
  bytes.resize(size);
  take_errors();
  return secret_part(kind_called(kind).type->family, bytes);
}

}  // namespace vhsm::test
