// SPDX-License-Identifier: Apache-2.0
//
// libFuzzer target: the end of a firmware image. What is read lies within its bounds and can be
// measured.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "snp/launch_digest.h"
#include "snp/ovmf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace snp = vhsm::snp;
constexpr std::size_t kPageBytes = 4096;

/// Bytes of pages that an image asks for.
std::uint64_t bytes_of(const snp::Ovmf& firmware) {
  std::uint64_t total = 0;
  for (const snp::OvmfSection& section : firmware.sections) {
    if (section.gpa % kPageBytes != 0 || section.bytes % kPageBytes != 0) std::abort();
    total += section.bytes;
  }
  return total;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kQuickBytes = std::uint64_t{1} << 20;
  std::vector<std::uint8_t> image((kPageBytes - size % kPageBytes) % kPageBytes);
  image.insert(image.end(), data, data + size);
  const auto firmware = snp::parse_ovmf(image);
  if (!firmware.ok()) return 0;
  const std::uint64_t bytes = bytes_of(firmware.value());
  if (bytes > snp::kMaxSectionBytes || firmware.value().sections.size() > snp::kMaxOvmfSections) {
    std::abort();
  }
  if (bytes > kQuickBytes) return 0;
  snp::Launch launch{.firmware = &firmware.value(), .kernel = snp::KernelHashes{}};
  launch.vcpus = 2;
  static_cast<void>(snp::launch_digest(launch).ok());
  return 0;
}
