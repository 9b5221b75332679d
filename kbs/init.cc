// SPDX-License-Identifier: Apache-2.0
//
// A new KBS in one folder.
#include "kbs/init.h"

#include <array>
#include <filesystem>
#include <system_error>

#include "kbs/config.h"
#include "kbs/pki.h"
#include "kbs/store.h"
#include "snp/files.h"
#include "snp/hex.h"

namespace vhsm::kbs {
namespace {

namespace fs = std::filesystem;

constexpr std::array kFiles{"ca.pem",    "ca.key",    "server.pem", "server.key",
                            "token.pem", "token.key", "kbs.db"};

/// Characters that mean something in OpenSSL's configuration syntax.
constexpr std::string_view kSpecial = "#$\\\"'`;\n\r";

Status check_plain(const std::string& value) {
  if (value.find_first_of(kSpecial) == value.npos) return {};
  return fail(Errc::kInvalidArgument, "a character that a configuration file cannot hold", value);
}

Status check_options(const InitOptions& options) {
  const auto listen = parse_listen(options.listen);
  if (!listen.ok()) return listen.error();
  VHSM_TRY(check_plain(options.listen));
  VHSM_TRY(check_plain(options.trust_test_root));
  for (const std::string& measurement : options.measurements) {
    if (measurement == "any") continue;
    snp::Measurement parsed;
    const Status hex = snp::from_hex(measurement, parsed.value);
    if (!hex.ok()) return fail(Errc::kInvalidArgument, "not 96 hex digits", measurement);
  }
  return {};
}

Status check_absent(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(path, ignored))) return {};
  return fail(Errc::kWrongState, "the file exists already", path.string())
      .cured_by("move it away, or name another folder with --config");
}

Result<fs::path> make_folder(const fs::path& config) {
  fs::path folder = config.parent_path();
  if (folder.empty()) folder = ".";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(Errc::kIo, "a folder cannot be made", folder.string());
  VHSM_TRY(check_absent(config));
  for (const char* file : kFiles) {
    VHSM_TRY(check_absent(folder / file));
  }
  return folder;
}

std::vector<std::string> hosts_of(const InitOptions& options) {
  if (!options.hosts.empty()) return options.hosts;
  return {"localhost", "127.0.0.1", "::1"};
}

Status make_tls(const fs::path& folder, const std::vector<std::string>& hosts) {
  const PrivateKey ca_key = VHSM_TRY(PrivateKey::generate_p256());
  const auto ca = VHSM_TRY(make_ca(ca_key.get()));
  const PrivateKey key = VHSM_TRY(PrivateKey::generate_p256());
  const auto leaf = VHSM_TRY(make_leaf(key.get(), ca_key.get(), ca.get(), hosts));
  VHSM_TRY(ca_key.write(folder / "ca.key"));
  VHSM_TRY(write_certificate(folder / "ca.pem", ca.get()));
  VHSM_TRY(key.write(folder / "server.key"));
  return write_certificate(folder / "server.pem", leaf.get());
}

Status make_token_key(const fs::path& folder) {
  const PrivateKey key = VHSM_TRY(PrivateKey::generate_p256());
  const auto certificate = VHSM_TRY(make_token_certificate(key.get()));
  VHSM_TRY(key.write(folder / "token.key"));
  return write_certificate(folder / "token.pem", certificate.get());
}

std::string config_text(const InitOptions& options) {
  std::string text =
      "# Made by vhsm-kbs init; the keys are explained in vhsm-kbs.cnf(5).\n"
      "[vhsm_kbs]\n"
      "listen = " +
      options.listen +
      "\n"
      "certificate = server.pem\n"
      "private_key = server.key\n"
      "database = kbs.db\n"
      "token_key = token.key\n"
      "token_certificate = token.pem\n";
  if (options.measurements.empty()) {
    text +=
        "# Which VMs may have resources: launch measurements, 96 hex digits each.\n"
        "# measurement =\n";
  } else {
    text += "measurement =";
    for (const std::string& measurement : options.measurements) text += " " + measurement;
    text += "\n";
  }
  if (!options.trust_test_root.empty()) {
    text +=
        "# Development: accepts reports that an emulator made.\n"
        "trust_test_root = " +
        fs::absolute(options.trust_test_root).string() + "\n";
  }
  return text;
}

}  // namespace

Status init(const InitOptions& options) {
  VHSM_TRY(check_options(options));
  const fs::path folder = VHSM_TRY(make_folder(options.config));
  VHSM_TRY(make_tls(folder, hosts_of(options)));
  VHSM_TRY(make_token_key(folder));
  VHSM_TRY(Store::create(folder / "kbs.db"));
  const std::string text = config_text(options);
  return snp::write_new_file(
      options.config, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, 0644);
}

}  // namespace vhsm::kbs
