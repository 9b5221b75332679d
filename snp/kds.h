// SPDX-License-Identifier: Apache-2.0
//
// AMD's Key Distribution Service: where the certificate of a chip's key and the roots' revocation
// lists are, and how to fetch them into a folder that verify() takes. The transport is the
// caller's. Source: AMD 57230, section 4 (URLs); RFC 9110, section 10.2.3 (Retry-After); RFC 6585,
// section 4 (429).
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "snp/product.h"
#include "snp/report.h"

namespace vhsm::snp {

inline constexpr const char* kKdsUrl = "https://kdsintf.amd.com";

/// "/vcek/v1/Milan/CHIP?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219", for the chip and the REPORTED_TCB
/// of `report`. A Turin's chip has 8 bytes, and a level more.
/// @errors kUnsupported when CHIP_ID is masked or the report is not signed by a VCEK; kBadFormat
/// for
///         a malformed TCB.
[[nodiscard]] Result<std::string> vcek_target(const UnverifiedReport& report, Product product);

/// "/vcek/v1/Milan/crl"; for reports that a VLEK signed "/vlek/v1/Milan/crl".
[[nodiscard]] std::string crl_target(const UnverifiedReport& report, Product product);

/// What a GET brought.
struct KdsAnswer {
  unsigned status = 0;
  std::string body;
  std::optional<std::chrono::seconds> retry_after;
};

/// How the service is reached. The functions are called in the caller's thread.
struct KdsAccess {
  std::function<Result<KdsAnswer>(const std::string& target)> get;
  std::function<void(std::chrono::seconds)> wait;
  std::chrono::seconds patience{120};  ///< to wait in all, when the service asks for it (429)
};

/// Fetches what verify() needs for `report` into `folder`, which is also the cache: the certificate
/// of a chip at a TCB never changes, and is asked for once; a VLEK's is not public, its provider
/// gives it. The revocation list is fetched each time. Nothing that comes back is trusted: what is
/// no certificate or list is refused, what it says is verify()'s business.
/// @return the names of the files in `folder`.
/// @errors those of vcek_target(); kUnreachable when the service refuses or asks for more patience
///         (subject: status and target); kForged for another answer; kIo; those of `get`.
[[nodiscard]] Result<std::vector<std::string>> fetch_certificates(const UnverifiedReport& report,
                                                                  Product product,
                                                                  const std::string& folder,
                                                                  const KdsAccess& access);

}  // namespace vhsm::snp
