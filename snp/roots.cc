// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "snp/files.h"
#include "snp/revocation.h"
#include "snp/verify.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

constexpr std::size_t kMaxFiles = 64;

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};

bool is_certificate_file(std::string_view name) {
  constexpr std::array<std::string_view, 4> kEndings{".pem", ".der", ".crt", ".crl"};
  return std::ranges::any_of(kEndings,
                             [name](std::string_view ending) { return name.ends_with(ending); });
}

/// Sorted, so that which certificate comes first does not hang from the file system.
Result<std::vector<std::string>> certificate_files(const std::string& folder) {
  const std::unique_ptr<DIR, CloseFolder> open(::opendir(folder.c_str()));
  if (open == nullptr) return fail(Errc::kIo, "this folder cannot be read", folder);
  std::vector<std::string> paths;
  while (const dirent* entry = ::readdir(open.get())) {
    if (is_certificate_file(entry->d_name)) paths.push_back(folder + "/" + entry->d_name);
  }
  if (paths.size() > kMaxFiles) {
    return fail(Errc::kIo, "this folder holds more than 64 certificate files", folder);
  }
  std::ranges::sort(paths);
  return paths;
}

Status add_file(std::vector<Certificate>& certificates, const std::string& path) {
  auto data = VHSM_TRY(read_file(path, kMaxCertificateBytes));
  const auto parsed = parse_certificates(data);
  if (parsed.empty() && parse_crl(data) == nullptr) {
    return fail(Errc::kBadFormat, "this file holds no certificate", path);
  }
  if (parsed.empty()) certificates.push_back({CertificateKind::kCrl, {}, std::move(data)});
  for (const ossl::X509Cert& one : parsed) {
    auto der = VHSM_TRY(to_der(one.get()));
    certificates.push_back({kind_by_name(common_name(one.get())), {}, std::move(der)});
  }
  return {};
}

}  // namespace

Result<Roots> read_roots(const std::string& folder, const std::string& test_root) {
  Roots roots;
  if (!folder.empty()) {
    const auto paths = VHSM_TRY(certificate_files(folder));
    for (const std::string& path : paths) VHSM_TRY(add_file(roots.certificates, path));
  }
  if (!test_root.empty()) {
    roots.trust_test_root = VHSM_TRY(read_file(test_root, kMaxCertificateBytes));
    if (parse_certificates(roots.trust_test_root).size() != 1) {
      return fail(Errc::kBadFormat, "the test root is not one certificate", test_root);
    }
  }
  return roots;
}

}  // namespace vhsm::snp
