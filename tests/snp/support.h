// SPDX-License-Identifier: Apache-2.0
//
// What the tests of snp/ share: the real vectors, and a laboratory that forges any evidence under a
// test root.
#pragma once

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "snp/emulator_authority.h"
#include "snp/emulator_state.h"
#include "snp/id_block.h"
#include "snp/policy.h"
#include "snp/verify.h"

namespace vhsm::snp {

/// The folder of the real vectors: $VHSM_VECTORS/snp, or the one beside the sources.
std::string vectors_folder();

/// A real report with its chain, and a time at which the chain is valid.
struct Vector {
  Evidence evidence;
  VerifyOptions options;
};
std::vector<std::uint8_t> read_vector(const std::string& path);
Vector read_real(const std::string& folder);
/// The middle of `certificate`'s first validity days: notBefore + 1 day.
std::chrono::system_clock::time_point day_after_start(const X509* certificate);

// Use as a statement at the start of a test that needs the vectors.
#define VHSM_NEED_VECTORS() \
  if (!vectors_present()) GTEST_SKIP() << "no vectors at " << vectors_folder()
bool vectors_present();

/// ARK and ASK of a test hierarchy, with their keys.
struct Authority {
  Issuer ark;
  Issuer ask;
};
/// RSA-1024, for speed. The first call makes it.
const Authority& authority();
/// Others that look the same, by the names given.
Authority make_authority(const std::string& ark_name, const std::string& ask_name);

/// Evidence to forge: a genuine one, but for what the test changes.
struct Draft {
  Draft();
  EmulatorState state;
  ReportData data{};
  std::vector<LeafExtension> extensions;  ///< of the leaf
  std::string leaf_name = "SEV-VCEK";
  std::function<void(RawReport&)> before_signing = [](RawReport&) {};

  /// Replaces the value of extension `suffix`.
  void set_extension(std::string_view suffix, std::vector<std::uint8_t> value);
  void drop_extension(std::string_view suffix);
};

Evidence forge(const Draft& draft, const Authority& by = authority());

/// Roots that trust authority() alone.
Roots test_roots();

/// A new key of a guest's owner.
ossl::PKey p384_key();

/// An ID block of `identity`, signed.
struct SignedBlock {
  IdBlock block;
  IdAuthentication authentication;
};
SignedBlock sign_block(const GuestIdentity& identity, EVP_PKEY* id_key,
                       EVP_PKEY* author_key = nullptr);

/// What Azure's vTPM holds around a report: claims with what the guest wrote, whose digest
/// REPORT_DATA is.
std::string claims_for(const ReportData& user_data);
ReportData sha256_of(const std::string& text);
std::vector<std::uint8_t> hcl_blob(const RawReport& report, const std::string& claims);

/// A revocation list by `issuer`, in DER.
struct CrlDraft {
  const X509* revoked = nullptr;
  std::chrono::hours age{1};     ///< since it was issued
  std::chrono::hours life{240};  ///< from then on
  bool critical_extension = false;
};
Certificate make_crl(const Issuer& issuer, const CrlDraft& draft);

Certificate certificate_of(const X509* certificate, CertificateKind kind);

/// Overwrites a field with a little-endian number.
void put(RawReport& report, const Field& where, std::uint64_t value);

/// A folder of a test's own, removed at its end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  [[nodiscard]] const std::string& path() const { return path_; }
  /// A copy of `folder` in it.
  [[nodiscard]] std::string copy_of(const std::string& folder) const;

 private:
  std::string path_;
};

/// Makes the emulated machine at `folder` another one, without new keys.
void change_emulator(const std::string& folder, const std::function<void(nlohmann::json&)>& change);

/// "code: sentence" of a failure, "ok" of a success: for exact comparison.
std::string outcome(const Status& status);
template <class T>
std::string outcome(const Result<T>& result) {
  return result.ok() ? outcome(Status()) : outcome(Status(result.error()));
}

}  // namespace vhsm::snp
