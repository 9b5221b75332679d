// SPDX-License-Identifier: Apache-2.0
#include "module/platform_witness.h"

#include <utility>

#include "evidence/key_evidence.h"

namespace vhsm {
namespace {

class PlatformWitness final : public keystore::Witness {
 public:
  explicit PlatformWitness(std::shared_ptr<snp::Platform> platform) noexcept
      : platform_(std::move(platform)) {}

  Result<std::vector<std::uint8_t>> vouch(const keystore::KeyClaims& claims,
                                          TimePoint deadline) override {
    const auto evidence = VHSM_TRY(evidence::KeyEvidence::gather(claims, *platform_, deadline));
    return evidence::to_cbor(evidence.collection());
  }

 private:
  const std::shared_ptr<snp::Platform> platform_;
};

}  // namespace

std::shared_ptr<keystore::Witness> make_platform_witness(std::shared_ptr<snp::Platform> platform) {
  if (platform == nullptr) return nullptr;
  return std::make_shared<PlatformWitness>(std::move(platform));
}

}  // namespace vhsm
