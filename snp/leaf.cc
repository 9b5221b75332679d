// SPDX-License-Identifier: Apache-2.0
#include "snp/leaf.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <string_view>

#include "base/handle.h"

namespace vhsm::snp {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::string_view kArc = "1.3.6.1.4.1.3704.1.";
constexpr std::uint8_t kDerInteger = 0x02;
constexpr std::uint8_t kDerOctetString = 0x04;
constexpr std::uint8_t kDerIa5String = 0x16;
constexpr std::size_t kFullHwIdBytes = field::kChipId.size;
constexpr std::size_t kTurinHwIdBytes = 8;

/// A DER INTEGER of 0..255 and nothing after it: 02 01 xx, or 02 02 00 xx from 128 on.
Result<std::uint8_t> small_integer(Bytes der) {
  constexpr std::uint8_t kSignBit = 0x80;
  if (der.size() == 3 && der[0] == kDerInteger && der[1] == 1 && der[2] < kSignBit) return der[2];
  if (der.size() == 4 && der[0] == kDerInteger && der[1] == 2 && der[2] == 0 &&
      der[3] >= kSignBit) {
    return der[3];
  }
  return fail(Errc::kBadFormat, "a level in the certificate's extensions is not 0 to 255");
}

Result<std::string> ia5_string(Bytes der) {
  constexpr std::size_t kMaxShortLength = 127;
  if (der.size() < 2 || der[0] != kDerIa5String || der[1] > kMaxShortLength ||
      der.size() != 2U + der[1]) {
    return fail(Errc::kBadFormat, "a name in the certificate's extensions is not an IA5String");
  }
  return std::string(der.begin() + 2, der.end());
}

/// Raw bytes, or the same bytes in a DER OCTET STRING: both are in use.
Result<std::vector<std::uint8_t>> hardware_id(Bytes value) {
  for (const std::size_t size : {kFullHwIdBytes, kTurinHwIdBytes}) {
    if (value.size() == size + 2 && value[0] == kDerOctetString && value[1] == size) {
      value = value.subspan(2);
    }
    if (value.size() == size) return std::vector<std::uint8_t>(value.begin(), value.end());
  }
  return fail(Errc::kBadFormat, "the certificate's hwID is not 64 or 8 bytes");
}

/// The number N of "3.N", or 0.
std::size_t spl_index(std::string_view suffix) {
  constexpr std::string_view kSplArc = "3.";
  if (!suffix.starts_with(kSplArc) || suffix.size() != kSplArc.size() + 1) return 0;
  const char digit = suffix.back();
  return digit >= '1' && digit <= '9' ? static_cast<std::size_t>(digit - '0') : 0;
}

/// Takes one extension of AMD's arc; `suffix` is what follows the arc.
Status take(LeafExtensions& into, std::string_view suffix, Bytes value) {
  if (const std::size_t index = spl_index(suffix); index != 0) {
    into.spl[index] = VHSM_TRY(small_integer(value));
  } else if (suffix == "1") {
    [[maybe_unused]] const auto structure_version = VHSM_TRY(small_integer(value));
  } else if (suffix == "2") {
    into.product_name = VHSM_TRY(ia5_string(value));
  } else if (suffix == "4") {
    into.hw_id = VHSM_TRY(hardware_id(value));
  } else if (suffix == "5") {
    into.csp_id = VHSM_TRY(ia5_string(value));
  } else {
    return fail(Errc::kBadFormat, "the certificate has an unknown extension of AMD's", suffix);
  }
  return {};
}

std::string oid_text(const ASN1_OBJECT* object) {
  std::array<char, 80> text{};
  const int size = OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object, 1);
  if (size <= 0 || static_cast<std::size_t>(size) >= text.size()) return {};
  return text.data();
}

bool is_p384(const EVP_PKEY* key) {
  std::array<char, 32> group{};
  std::size_t size = 0;
  return key != nullptr && EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
         std::string_view(group.data(), size) == SN_secp384r1;
}

Bytes value_of(X509_EXTENSION* extension) {
  const ASN1_OCTET_STRING* data = X509_EXTENSION_get_data(extension);
  return {ASN1_STRING_get0_data(data), static_cast<std::size_t>(ASN1_STRING_length(data))};
}

}  // namespace

Result<LeafExtensions> read_leaf_extensions(const X509* leaf) {
  LeafExtensions found;
  std::vector<std::string> seen;
  for (int i = 0; i < X509_get_ext_count(leaf); ++i) {
    X509_EXTENSION* extension = X509_get_ext(leaf, i);
    const std::string oid = oid_text(X509_EXTENSION_get_object(extension));
    if (!std::string_view(oid).starts_with(kArc)) continue;
    if (std::ranges::find(seen, oid) != seen.end()) {
      return fail(Errc::kBadFormat, "the certificate has an extension twice", oid);
    }
    seen.push_back(oid);
    VHSM_TRY(take(found, std::string_view(oid).substr(kArc.size()), value_of(extension)));
  }
  return found;
}

Status check_leaf_shape(X509* leaf) {
  constexpr long kVersion3 = 2;
  if (X509_get_version(leaf) != kVersion3) {
    return fail(Errc::kBadFormat, "the signing key's certificate is not X.509 version 3");
  }
  if (X509_check_ca(leaf) != 0) {
    return fail(Errc::kBadFormat, "the signing key's certificate is a CA's");
  }
  int digest = NID_undef;
  int algorithm = NID_undef;
  if (X509_get_signature_info(leaf, &digest, &algorithm, nullptr, nullptr) != 1 ||
      digest != NID_sha384 || algorithm != NID_rsassaPss) {
    return fail(Errc::kBadFormat,
                "the signing key's certificate is not signed by PSS with SHA-384");
  }
  if (!is_p384(X509_get0_pubkey(leaf))) {
    return fail(Errc::kBadFormat, "the signing key is not on the curve P-384");
  }
  return {};
}

Result<Product> leaf_product(const LeafExtensions& extensions) {
  const std::string_view name = extensions.product_name;
  const auto product = parse_product(name.substr(0, name.find('-')));
  if (product.ok()) return product.value();
  return fail(Errc::kBadFormat, "the certificate is for an unknown product", name);
}

Result<TcbBytes> leaf_tcb(const LeafExtensions& extensions, Product product) {
  // The number N of 1.3.6.1.4.1.3704.1.3.N for each byte of TCB_VERSION.
  constexpr std::array<std::size_t, kTcbBytes> kTurin{9, 1, 2, 3, 5, 6, 7, 8};
  constexpr std::array<std::size_t, kTcbBytes> kOthers{1, 2, 4, 5, 6, 7, 3, 8};
  const bool turin = product == Product::kTurin;
  if (extensions.spl[turin ? 4 : 9].has_value()) {
    return fail(Errc::kBadFormat, "the certificate has a level that its product lacks");
  }
  TcbBytes tcb{};
  for (std::size_t i = 0; i < kTcbBytes; ++i) {
    const auto& level = extensions.spl[turin ? kTurin[i] : kOthers[i]];
    if (!level.has_value()) {
      return fail(Errc::kBadFormat, "the certificate lacks a level of its TCB");
    }
    tcb[i] = *level;
  }
  return tcb;
}

bool is_for_chip(const LeafExtensions& extensions, Product product,
                 std::span<const std::uint8_t, field::kChipId.size> chip_id) {
  const std::size_t size = product == Product::kTurin ? kTurinHwIdBytes : kFullHwIdBytes;
  return std::ranges::equal(extensions.hw_id, chip_id.first(size)) &&
         std::ranges::all_of(chip_id.subspan(size), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace vhsm::snp
