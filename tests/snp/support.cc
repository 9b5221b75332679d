// SPDX-License-Identifier: Apache-2.0
#include "tests/snp/support.h"

#include <unistd.h>

#include <openssl/x509v3.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>

#include "snp/files.h"
#include "snp/hex.h"
#include "snp/little_endian.h"
#include "snp/report_signature.h"
#include "snp/x509.h"

namespace vhsm::snp {

std::string vectors_folder() {
  const char* folder = std::getenv("VHSM_VECTORS");
  return folder != nullptr ? std::string(folder) + "/snp" : VHSM_TEST_VECTORS;
}

bool vectors_present() { return ::access(vectors_folder().c_str(), R_OK) == 0; }

std::vector<std::uint8_t> read_vector(const std::string& path) {
  return read_file(vectors_folder() + "/" + path, std::size_t{1} << 20).value();
}

std::chrono::system_clock::time_point day_after_start(const X509* certificate) {
  std::tm start{};
  EXPECT_EQ(ASN1_TIME_to_tm(X509_get0_notBefore(certificate), &start), 1);
  return std::chrono::system_clock::from_time_t(::timegm(&start)) + std::chrono::hours(24);
}

Vector read_real(const std::string& folder) {
  Vector vector;
  vector.evidence.report =
      UnverifiedReport::parse(read_vector(folder + "/report.bin")).value().raw();
  vector.evidence.certificates = {{CertificateKind::kVcek, {}, read_vector(folder + "/vcek.der")},
                                  {CertificateKind::kAsk, {}, read_vector(folder + "/ask.pem")},
                                  {CertificateKind::kArk, {}, read_vector(folder + "/ark.pem")}};
  const auto leaf = parse_certificates(vector.evidence.certificates[0].data);
  vector.options.at = day_after_start(leaf.front().get());
  return vector;
}

Authority make_authority(const std::string& ark_name, const std::string& ask_name) {
  constexpr unsigned kBits = 1024;
  Authority made_now{make_root(ark_name, kBits).value(), {}};
  made_now.ask = make_intermediate(made_now.ark, ask_name, kBits).value();
  return made_now;
}

const Authority& authority() {
  static const Authority kAuthority = make_authority(kTestRootName, kTestIntermediateName);
  return kAuthority;
}

Draft::Draft()
    : state(make_state(EmulatorOptions{}).value()),
      extensions(vcek_extensions(state.product, state.tcb, state.chip_id)) {}

void Draft::set_extension(std::string_view suffix, std::vector<std::uint8_t> value) {
  std::ranges::find(extensions, suffix, &LeafExtension::suffix)->value = std::move(value);
}

void Draft::drop_extension(std::string_view suffix) {
  std::erase_if(extensions, [&](const LeafExtension& one) { return one.suffix == suffix; });
}

Certificate certificate_of(const X509* certificate, CertificateKind kind) {
  return {kind, {}, to_der(certificate).value()};
}

Certificate make_crl(const Issuer& issuer, const CrlDraft& draft) {
  const ossl::X509Crl list(X509_CRL_new());
  const std::time_t issued =
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() - draft.age);
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> from(ASN1_TIME_set(nullptr, issued),
                                                                   &ASN1_TIME_free);
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> to(
      ASN1_TIME_set(nullptr, issued + std::chrono::seconds(draft.life).count()), &ASN1_TIME_free);
  X509_CRL_set_version(list.get(), 1);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(issuer.certificate.get()));
  X509_CRL_set1_lastUpdate(list.get(), from.get());
  X509_CRL_set1_nextUpdate(list.get(), to.get());
  if (draft.revoked != nullptr) {
    X509_REVOKED* entry = X509_REVOKED_new();
    ossl::X509Cert copy(X509_dup(draft.revoked));
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(copy.get()));
    X509_REVOKED_set_revocationDate(entry, from.get());
    X509_CRL_add0_revoked(list.get(), entry);
  }
  if (draft.critical_extension) {
    ASN1_INTEGER* number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(number, 1);
    EXPECT_EQ(X509_CRL_add1_ext_i2d(list.get(), NID_crl_number, number, 1, 0), 1);
    ASN1_INTEGER_free(number);
  }
  EXPECT_GT(X509_CRL_sign(list.get(), issuer.key.get(), EVP_sha384()), 0);
  std::uint8_t* der = nullptr;
  const int size = i2d_X509_CRL(list.get(), &der);
  Certificate made{CertificateKind::kCrl, {}, {der, der + size}};
  OPENSSL_free(der);
  return made;
}

Evidence forge(const Draft& draft, const Authority& by) {
  const Issuer leaf = make_leaf(by.ask, draft.leaf_name, draft.extensions).value();
  Evidence evidence;
  evidence.report = unsigned_report(draft.state, draft.data, draft.state.vmpl);
  draft.before_signing(evidence.report);
  EXPECT_TRUE(sign_report(leaf.key.get(), evidence.report).ok());
  evidence.certificates = {certificate_of(leaf.certificate.get(), CertificateKind::kVcek),
                           certificate_of(by.ask.certificate.get(), CertificateKind::kAsk),
                           certificate_of(by.ark.certificate.get(), CertificateKind::kArk)};
  return evidence;
}

ossl::PKey p384_key() { return ossl::PKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384")); }

SignedBlock sign_block(const GuestIdentity& identity, EVP_PKEY* id_key, EVP_PKEY* author_key) {
  const IdBlock block = make_id_block(identity).value();
  return {block, authenticate(block, id_key, author_key).value()};
}

std::string claims_for(const ReportData& user_data) {
  return R"({"user-data":")" + to_hex(user_data) + "\"}";
}

ReportData sha256_of(const std::string& text) {
  ReportData data{};
  EXPECT_EQ(EVP_Digest(text.data(), text.size(), data.data(), nullptr, EVP_sha256(), nullptr), 1);
  return data;
}

std::vector<std::uint8_t> hcl_blob(const RawReport& report, const std::string& claims) {
  constexpr std::size_t kReport = 0x20;
  constexpr std::size_t kHeader = kReport + kReportBytes;
  constexpr std::size_t kClaims = kHeader + 5 * 4;
  constexpr std::string_view kMagic = "HCLA";
  std::vector<std::uint8_t> blob(kClaims + claims.size());
  const std::span into(blob);
  std::ranges::copy(kMagic, into.begin());
  std::ranges::copy(report, into.subspan(kReport).begin());
  const std::size_t numbers[]{claims.size() + 20, 1, 2, 1, claims.size()};
  for (std::size_t i = 0; i < std::size(numbers); ++i) {
    write_number(into.subspan(kHeader + 4 * i, 4), numbers[i]);
  }
  std::ranges::copy(claims, into.subspan(kClaims).begin());
  return blob;
}

Roots test_roots() {
  Roots roots;
  roots.trust_test_root = to_der(authority().ark.certificate.get()).value();
  return roots;
}

void put(RawReport& report, const Field& where, std::uint64_t value) {
  for (std::size_t i = 0; i < where.size; ++i) {
    report[where.offset + i] = i < sizeof value ? static_cast<std::uint8_t>(value >> (8 * i)) : 0;
  }
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "vhsm-snp-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}
TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path_); }

std::string TemporaryFolder::copy_of(const std::string& folder) const {
  std::filesystem::copy(folder, path_ + "/copy");
  return path_ + "/copy";
}

void change_emulator(const std::string& folder,
                     const std::function<void(nlohmann::json&)>& change) {
  const std::string file = folder + "/emulator.json";
  auto state = nlohmann::json::parse(std::ifstream(file));
  change(state);
  std::ofstream(file) << state;
}

std::string outcome(const Status& status) {
  if (status.ok()) return "ok";
  return std::string(reason(status.error().code)) + ": " + status.error().what.c_str();
}

}  // namespace vhsm::snp
