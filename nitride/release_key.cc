// SPDX-License-Identifier: Apache-2.0
#include "nitride/release_key.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "memory/protected_memory.h"

namespace vhsm::nitride {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kMostSignatureBytes = 2 * 66;

/// How one kind of key signs.
struct Algorithm {
  const char* type;
  const char* group;                  ///< null where the type says all
  const char* digest;                 ///< null where the type says all
  std::size_t scalar_bytes;           ///< of r and of s; 0: the signature is one string
  std::string_view protected_header;  ///< {1: alg}, and nothing else
};
constexpr std::array<Algorithm, 4> kAlgorithms{
    {{"EC", "prime256v1", "SHA2-256", 32, "\xa1\x01\x26"},
     {"EC", "secp384r1", "SHA2-384", 48, "\xa1\x01\x38\x22"},
     {"EC", "secp521r1", "SHA2-512", 66, "\xa1\x01\x38\x23"},
     {"ED25519", nullptr, nullptr, 0, "\xa1\x01\x27"}}};

bool has_group(EVP_PKEY* key, const char* group) {
  std::array<char, 32> name{};
  std::size_t length = 0;
  return group == nullptr ||
         (EVP_PKEY_get_group_name(key, name.data(), name.size(), &length) == 1 &&
          std::string_view(name.data()) == group);
}

Result<const Algorithm*> algorithm_of(EVP_PKEY* key) {
  const ossl::ErrorMark quiet;
  for (const Algorithm& one : kAlgorithms) {
    if (EVP_PKEY_is_a(key, one.type) == 1 && has_group(key, one.group)) return &one;
  }
  return fail(Errc::kUnsupported, "a release key is on P-256, P-384 or P-521, or Ed25519");
}

Bytes octets(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Error not_signed() {
  return fail(Errc::kForged, "the resource is not signed by release_key for this name");
}

// ----- CBOR, as much as there is of it here
// -------------------------------------------------------

constexpr std::uint8_t kSign1Tag = 0xd2;
constexpr std::uint8_t kArrayOfFour = 0x84;
constexpr std::uint8_t kEmptyMap = 0xa0;
constexpr std::uint8_t kByteString = 0x40;
constexpr std::uint8_t kTextString = 0x60;
constexpr std::uint8_t kOneByte = 24;  ///< of length follows; 25: two, 26: four
constexpr std::size_t kMostHeadBytes = 5;

/// A type and a length below 2^32, in its shortest form.
std::vector<std::uint8_t> head(std::uint8_t type, std::size_t length) {
  if (length < kOneByte) return {static_cast<std::uint8_t>(type + length)};
  const unsigned power = length <= 0xff ? 0 : length <= 0xffff ? 1 : 2;
  std::vector<std::uint8_t> bytes{static_cast<std::uint8_t>(type + kOneByte + power)};
  for (int shift = (8 << power) - 8; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(length >> shift));
  }
  return bytes;
}

/// Takes items off the front of what it borrows.
class Reader {
 public:
  explicit Reader(Bytes data) noexcept : rest_(data) {}

  [[nodiscard]] bool skip(std::uint8_t byte) noexcept {
    if (rest_.empty() || rest_.front() != byte) return false;
    rest_ = rest_.subspan(1);
    return true;
  }

  [[nodiscard]] std::optional<Bytes> byte_string() noexcept {
    const auto length = this->length();
    if (!length || *length > rest_.size()) return std::nullopt;
    const Bytes taken = rest_.first(*length);
    rest_ = rest_.subspan(*length);
    return taken;
  }

  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

 private:
  std::optional<std::size_t> length() noexcept {
    if (rest_.empty() || (rest_.front() & 0xe0) != kByteString) return std::nullopt;
    const unsigned info = rest_.front() & 0x1fU;
    rest_ = rest_.subspan(1);
    if (info < kOneByte) return info;
    if (info > kOneByte + 2) return std::nullopt;
    const std::size_t bytes = std::size_t{1} << (info - kOneByte);
    if (rest_.size() < bytes) return std::nullopt;
    std::size_t length = 0;
    for (const std::uint8_t byte : rest_.first(bytes)) length = (length << 8) | byte;
    rest_ = rest_.subspan(bytes);
    return length;
  }

  Bytes rest_;
};

/// Appends to secret bytes that are long enough.
class Writer {
 public:
  explicit Writer(std::span<std::uint8_t> out) noexcept : out_(out) {}
  void raw(Bytes bytes) noexcept {
    std::ranges::copy(bytes, out_.begin());
    out_ = out_.subspan(bytes.size());
  }
  void byte_string(Bytes bytes) noexcept {
    raw(head(kByteString, bytes.size()));
    raw(bytes);
  }
  [[nodiscard]] std::size_t left() const noexcept { return out_.size(); }

 private:
  std::span<std::uint8_t> out_;
};

/// The parts of a COSE_Sign1 that this algorithm makes; they point into it.
struct Parts {
  Bytes payload;
  Bytes signature;
};

std::optional<Parts> parts_of(Bytes object, const Algorithm& algorithm) {
  Reader reader(object);
  [[maybe_unused]] const bool tagged = reader.skip(kSign1Tag);
  if (!reader.skip(kArrayOfFour)) return std::nullopt;
  const auto header = reader.byte_string();
  if (!header || !std::ranges::equal(*header, octets(algorithm.protected_header))) {
    return std::nullopt;
  }
  if (!reader.skip(kEmptyMap)) return std::nullopt;
  const auto payload = reader.byte_string();
  const auto signature = reader.byte_string();
  if (!payload || !signature || !reader.at_end()) return std::nullopt;
  return Parts{*payload, *signature};
}

/// Sig_structure: ["Signature1", protected, external_aad, payload]. In a scope.
Result<SecretBytes> signed_text(const Algorithm& algorithm, std::string_view path, Bytes payload) {
  constexpr std::string_view kContext = "Signature1";
  const std::size_t most = 1 + kContext.size() + algorithm.protected_header.size() + path.size() +
                           payload.size() + 4 * kMostHeadBytes;
  auto text = VHSM_TRY(SecretBytes::zeros(most));
  Writer writer(text.expose());
  writer.raw(std::array{kArrayOfFour});
  writer.raw(head(kTextString, kContext.size()));
  writer.raw(octets(kContext));
  writer.byte_string(octets(algorithm.protected_header));
  writer.byte_string(octets(path));
  writer.byte_string(payload);
  text.truncate(most - writer.left());
  return text;
}

// ----- signatures
// ---------------------------------------------------------------------------------

/// r and s side by side, as OpenSSL wants them.
Result<std::vector<std::uint8_t>> der_of(Bytes signature, std::size_t scalar_bytes) {
  if (scalar_bytes == 0) return std::vector<std::uint8_t>(signature.begin(), signature.end());
  if (signature.size() != 2 * scalar_bytes) return not_signed();
  const auto length = static_cast<int>(scalar_bytes);
  ossl::Bignum r(BN_bin2bn(signature.data(), length, nullptr));
  ossl::Bignum s(BN_bin2bn(signature.data() + scalar_bytes, length, nullptr));
  const ossl::EcdsaSig pair(ECDSA_SIG_new());
  if (pair == nullptr || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) {
    return fail(Errc::kCrypto, "ECDSA_SIG_new");
  }
  static_cast<void>(r.release());  // the pair's now
  static_cast<void>(s.release());
  const int size = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (size <= 0) return fail(Errc::kCrypto, "i2d_ECDSA_SIG");
  std::vector<std::uint8_t> der(static_cast<std::size_t>(size));
  std::uint8_t* next = der.data();
  i2d_ECDSA_SIG(pair.get(), &next);
  return der;
}

Result<std::vector<std::uint8_t>> raw_of(std::vector<std::uint8_t> signature,
                                         std::size_t scalar_bytes) {
  if (scalar_bytes == 0) return signature;
  const std::uint8_t* next = signature.data();
  const auto pair = VHSM_TRY(
      made(ossl::EcdsaSig(d2i_ECDSA_SIG(nullptr, &next, static_cast<long>(signature.size()))),
           "d2i_ECDSA_SIG"));
  std::vector<std::uint8_t> raw(2 * scalar_bytes);
  const auto length = static_cast<int>(scalar_bytes);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), raw.data(), length) != length ||
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), raw.data() + scalar_bytes, length) != length) {
    return fail(Errc::kCrypto, "ECDSA_SIG");
  }
  return raw;
}

/// In a scope.
Status check(const Algorithm& algorithm, EVP_PKEY* key, std::string_view path, const Parts& parts) {
  const ossl::ErrorMark quiet;
  const auto text = VHSM_TRY(signed_text(algorithm, path, parts.payload));
  const auto signature = VHSM_TRY(der_of(parts.signature, algorithm.scalar_bytes));
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "EVP_MD_CTX_new"));
  VHSM_TRY(crypto(
      EVP_DigestVerifyInit_ex(ctx.get(), nullptr, algorithm.digest, nullptr, nullptr, key, nullptr),
      "verification does not start"));
  const auto bytes = text.expose();
  if (EVP_DigestVerify(ctx.get(), signature.data(), signature.size(), bytes.data(), bytes.size()) ==
      1) {
    return {};
  }
  return not_signed();
}

/// In a scope.
Result<std::vector<std::uint8_t>> sign(const Algorithm& algorithm, EVP_PKEY* key, Bytes text) {
  const auto ctx = VHSM_TRY(made(ossl::MdCtx(EVP_MD_CTX_new()), "EVP_MD_CTX_new"));
  VHSM_TRY(crypto(
      EVP_DigestSignInit_ex(ctx.get(), nullptr, algorithm.digest, nullptr, nullptr, key, nullptr),
      "the release key does not sign"));
  std::vector<std::uint8_t> signature(kMostSignatureBytes + 16);  // DER takes a little more
  std::size_t size = signature.size();
  VHSM_TRY(crypto(EVP_DigestSign(ctx.get(), signature.data(), &size, text.data(), text.size()),
                  "the release key does not sign"));
  signature.resize(size);
  return raw_of(std::move(signature), algorithm.scalar_bytes);
}

}  // namespace

Result<ReleaseKey> ReleaseKey::load(const Settings& settings) {
  ReleaseKey release;
  if (settings.release_key.empty()) return release;
  const auto pem = VHSM_TRY(named_text(settings, settings.release_key));
  const ossl::ErrorMark quiet;
  const auto bio = VHSM_TRY(
      made(ossl::Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))), "BIO_new"));
  release.key_.reset(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (release.key_ == nullptr || !algorithm_of(release.key_.get()).ok()) {
    return fail(Errc::kBadConfig,
                "release_key is a PEM public key on P-256, P-384 or P-521, or Ed25519",
                settings.release_key);
  }
  return release;
}

Result<SecretBytes> ReleaseKey::opened(const keystore::KeyName& name,
                                       SecretBytes signed_object) const {
  if (key_ == nullptr) return signed_object;
  const Algorithm* const algorithm = VHSM_TRY(algorithm_of(key_.get()));
  const std::string path = name.path();
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const auto parts = parts_of(std::as_const(signed_object).expose(), *algorithm);
    if (!parts) return not_signed();
    VHSM_TRY(check(*algorithm, key_.get(), path, *parts));
    return SecretBytes::copy(parts->payload);
  });
}

Result<SecretBytes> sign_resource(std::string_view path, const SecretBytes& resource,
                                  EVP_PKEY* key) {
  const Algorithm* const algorithm = VHSM_TRY(algorithm_of(key));
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const auto text = VHSM_TRY(signed_text(*algorithm, path, resource.expose()));
    const auto signature = VHSM_TRY(sign(*algorithm, key, text.expose()));
    const Bytes header = octets(algorithm->protected_header);
    const std::size_t most =
        3 + header.size() + resource.size() + signature.size() + 3 * kMostHeadBytes;
    auto object = VHSM_TRY(SecretBytes::zeros(most));
    Writer writer(object.expose());
    writer.raw(std::array{kSign1Tag, kArrayOfFour});
    writer.byte_string(header);
    writer.raw(std::array{kEmptyMap});
    writer.byte_string(resource.expose());
    writer.byte_string(signature);
    object.truncate(most - writer.left());
    return object;
  });
}

}  // namespace vhsm::nitride
