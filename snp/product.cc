// SPDX-License-Identifier: Apache-2.0
#include "snp/product.h"

namespace vhsm::snp {
namespace {

constexpr std::array<std::string_view, 3> kNames{"Milan", "Genoa", "Turin"};

struct ModelRange {
  unsigned family;
  unsigned first;
  unsigned last;
  Product product;
};

// Bergamo and Siena (A0-AF) have Genoa's certificates. Venice's layout is not published: absent.
constexpr std::array<ModelRange, 4> kModels{{
    {0x19, 0x00, 0x0F, Product::kMilan},
    {0x19, 0x10, 0x1F, Product::kGenoa},
    {0x19, 0xA0, 0xAF, Product::kGenoa},
    {0x1A, 0x00, 0x11, Product::kTurin},
}};

bool all_zero(std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) {
    if (byte != 0) return false;
  }
  return true;
}

}  // namespace

std::string_view product_name(Product product) noexcept {
  return kNames[static_cast<std::size_t>(product)];
}

Result<Product> parse_product(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Product>(i);
  }
  return fail(Errc::kInvalidArgument, "no product of this name (Milan, Genoa, Turin)", name);
}

Result<Product> product_of(unsigned family, unsigned model) {
  for (const ModelRange& range : kModels) {
    if (family == range.family && model >= range.first && model <= range.last) {
      return range.product;
    }
  }
  return fail(Errc::kUnsupported, "the report comes from an unknown processor");
}

bool covers(const Tcb& tcb, const Tcb& floor) noexcept {
  return tcb.fmc >= floor.fmc && tcb.bootloader >= floor.bootloader && tcb.tee >= floor.tee &&
         tcb.snp >= floor.snp && tcb.microcode >= floor.microcode;
}

Result<Tcb> decode_tcb(Product product, std::span<const std::uint8_t, kTcbBytes> bytes) {
  const bool turin = product == Product::kTurin;
  if (!all_zero(turin ? bytes.subspan(4, 3) : bytes.subspan(2, 4))) {
    return fail(Errc::kBadFormat, "a reserved byte of a TCB is not zero");
  }
  if (turin) return Tcb{bytes[0], bytes[1], bytes[2], bytes[3], bytes[7]};
  return Tcb{0, bytes[0], bytes[1], bytes[6], bytes[7]};
}

TcbBytes encode_tcb(Product product, const Tcb& tcb) noexcept {
  if (product == Product::kTurin) {
    return {tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode};
  }
  return {tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode};
}

}  // namespace vhsm::snp
