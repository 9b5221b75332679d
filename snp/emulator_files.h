// SPDX-License-Identifier: Apache-2.0
//
// The files in an emulator's folder.
#pragma once

#include <array>

#include "snp/platform.h"

namespace vhsm::snp::emulator_file {

inline constexpr const char* kState = "/emulator.json";
inline constexpr const char* kVcekKey = "/vcek.key";

struct CertificateFile {
  CertificateKind kind;
  const char* name;
};
inline constexpr std::array<CertificateFile, 3> kCertificates{
    {{CertificateKind::kVcek, "/vcek.pem"},
     {CertificateKind::kAsk, "/ask.pem"},
     {CertificateKind::kArk, "/ark.pem"}}};

}  // namespace vhsm::snp::emulator_file
