// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: AMD's extensions of a leaf. The input is a list of them, {number of a suffix,
// length, value}, since bytes that are a certificate at all are rare. What is read can be compared
// with a report.
#include <openssl/x509.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/handle.h"
#include "snp/leaf.h"
#include "tests/fuzz/leaf_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace snp = vhsm::snp;
using Bytes = std::span<const std::uint8_t>;

void add(X509* leaf, std::size_t number, Bytes value) {
  const std::string oid = std::string("1.3.6.1.4.1.3704.1.") +
                          vhsm::fuzz::kSuffixes[number % vhsm::fuzz::kSuffixes.size()];
  const auto object =
      vhsm::ossl::Handle<ASN1_OBJECT, ASN1_OBJECT_free>(OBJ_txt2obj(oid.c_str(), 1));
  const auto octets =
      vhsm::ossl::Handle<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(octets.get(), value.data(), static_cast<int>(value.size()));
  const auto extension = vhsm::ossl::Handle<X509_EXTENSION, X509_EXTENSION_free>(
      X509_EXTENSION_create_by_OBJ(nullptr, object.get(), 0, octets.get()));
  X509_add_ext(leaf, extension.get(), -1);
}

void compare(const snp::LeafExtensions& extensions) {
  constexpr std::array<std::uint8_t, snp::field::kChipId.size> kChip{};
  for (const auto product : {snp::Product::kMilan, snp::Product::kGenoa, snp::Product::kTurin}) {
    static_cast<void>(snp::leaf_tcb(extensions, product).ok());
    static_cast<void>(snp::is_for_chip(extensions, product, kChip));
  }
  static_cast<void>(snp::leaf_product(extensions).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr int kMaxExtensions = 32;
  const vhsm::ossl::X509Cert leaf(X509_new());
  Bytes rest(data, size);
  for (int i = 0; i < kMaxExtensions && rest.size() >= 2; ++i) {
    const std::size_t length = std::min<std::size_t>(rest[1], rest.size() - 2);
    add(leaf.get(), rest[0], rest.subspan(2, length));
    rest = rest.subspan(2 + length);
  }
  const auto extensions = snp::read_leaf_extensions(leaf.get());
  if (!extensions.ok()) return 0;
  const std::size_t chip = extensions.value().hw_id.size();
  if (chip != 0 && chip != 8 && chip != 64) std::abort();
  compare(extensions.value());
  return 0;
}
