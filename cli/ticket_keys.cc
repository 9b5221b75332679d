// SPDX-License-Identifier: Apache-2.0
//
// vhsm ticket-keys: the keys of TLS session tickets that a server takes from files only, derived
// from a symmetric key and the time, so that all VMs with this key have the same ones, without a
// word between them. Each call writes those of now; a timer calls it.
// Source: RFC 5869 (HKDF); RFC 5077, section 4; ssl_session_ticket_key of ngx_http_ssl_module.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/console.h"
#include "cli/patience.h"
#include "cli/streams.h"
#include "module/assembly.h"

namespace vhsm::cli {
namespace {

using keystore::KeyUri;
using keystore::SymmetricKeyPtr;

constexpr std::size_t kTicketKeyBytes = 80;  // name 16, HMAC 32, AES-256 32
constexpr std::size_t kLeastKeyBytes = 32;   // what is derived is worth no more
constexpr std::string_view kLabel = "vhsm tls ticket key 1";

struct TicketArguments {
  std::string name;
  std::string folder;
  std::chrono::seconds::rep period = 43200;
  std::chrono::seconds::rep wait = 0;
  bool mount = false;
};

// ----- where they go -----------------------------------------------------------------------------

bool swaps() {
  std::ifstream file("/proc/swaps");
  std::string line;
  std::getline(file, line);  // its heading
  return static_cast<bool>(std::getline(file, line));
}

/// Whether what is written there stays in memory: ramfs, or tmpfs where nothing is swapped out.
bool is_memory(const std::string& folder) {
  struct statfs status {};
  if (::statfs(folder.c_str(), &status) != 0) return false;
  return status.f_type == RAMFS_MAGIC || (status.f_type == TMPFS_MAGIC && !swaps());
}

/// Who may write there could put keys of their own in the place of these.
Status check_owner(const std::string& folder) {
  struct stat status {};
  const bool known = ::stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  if (!known) {
    return fail(Errc::kIo, "this is no folder", folder).cured_by("name one with --dir");
  }
  const bool ours = status.st_uid == 0 || status.st_uid == ::geteuid();
  if (ours && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return {};
  return fail(Errc::kInvalidArgument, "others may write to this folder", folder)
      .cured_by("give it to root, with mode 0700");
}

Status mount_memory(const TicketArguments& arguments) {
  const std::string& folder = arguments.folder;
  if (is_memory(folder)) return {};
  if (!arguments.mount) {
    return fail(Errc::kInvalidArgument,
                "this folder is not on ramfs, nor on a tmpfs without swap: add --mount", folder);
  }
  constexpr unsigned long kFlags = MS_NODEV | MS_NOEXEC | MS_NOSUID;
  if (::mount("vhsm", folder.c_str(), "ramfs", kFlags, "mode=0700") == 0) return {};
  return fail(Errc::kIo, "no ramfs can be mounted there", folder);
}

Status prepare(const TicketArguments& arguments) {
  ::mkdir(arguments.folder.c_str(), S_IRWXU);
  VHSM_TRY(check_owner(arguments.folder));
  VHSM_TRY(mount_memory(arguments));
  return check_owner(arguments.folder);
}

Status write_key(const std::string& path, const SecretBytes& key) {
  auto file = VHSM_TRY(OutputStream::open(path));
  VHSM_TRY(file.write(key.expose()));
  return file.complete();
}

// ----- what they are -----------------------------------------------------------------------------

/// Of one period, counted from 1970.
std::vector<std::uint8_t> info_of(std::uint64_t period) {
  std::vector<std::uint8_t> info(kLabel.begin(), kLabel.end());
  for (int shift = 56; shift >= 0; shift -= 8) {
    info.push_back(static_cast<std::uint8_t>(period >> shift));
  }
  return info;
}

Result<SecretBytes> derive(const Parts& parts, const SymmetricKeyPtr& key, std::uint64_t period) {
  auto ticket_key = VHSM_TRY(SecretBytes::zeros(kTicketKeyBytes));
  auto info = info_of(period);
  std::string digest = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  const auto hkdf = VHSM_TRY(parts.keystore->make_operation(keystore::kHkdf));
  VHSM_TRY(hkdf->set_params(params));
  VHSM_TRY(hkdf->start({.key = key}));
  [[maybe_unused]] const std::size_t size = VHSM_TRY(hkdf->finish(ticket_key.expose()));
  return ticket_key;
}

Result<SymmetricKeyPtr> open_key(const Parts& parts, const TicketArguments& arguments) {
  auto uri = VHSM_TRY(KeyUri::parse(arguments.name, parts.settings.kbs_path, true));
  uri.type = keystore::ObjectType::kSecret;
  const auto entry = VHSM_TRY(ask_with_patience(std::chrono::seconds(arguments.wait),
                                                [&] { return parts.keystore->open(uri); }));
  const auto key = VHSM_TRY(symmetric_in(entry, uri.name));
  if (key->size() >= kLeastKeyBytes) return key;
  return fail(Errc::kBadLength, "this key is shorter than what is derived from it", uri.name.uri())
      .cured_by("name a symmetric key of 256 bits or more");
}

/// A server encrypts with the current one; clocks may differ, and tickets are older.
struct Place {
  const char* file;
  int offset;  ///< in periods
};
constexpr std::array<Place, 3> kPlaces{{{"current.key", 0}, {"previous.key", -1}, {"next.key", 1}}};

Result<Exit> write_ticket_keys(const Console& console, const TicketArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto key = VHSM_TRY(open_key(parts, arguments));
  VHSM_TRY(prepare(arguments));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto period = std::chrono::floor<std::chrono::seconds>(now).count() / arguments.period;
  for (const Place& place : kPlaces) {
    const auto ticket_key =
        VHSM_TRY(derive(parts, key, static_cast<std::uint64_t>(period + place.offset)));
    VHSM_TRY(write_key(arguments.folder + "/" + place.file, ticket_key));
  }
  VHSM_TRY(print(fmt::format("ticket keys of period {} in {}\n", period, arguments.folder)));
  return Exit::kDone;
}

}  // namespace

void add_ticket_keys(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<TicketArguments>();
  CLI::App* const command =
      app.add_subcommand("ticket-keys", "Write the TLS session ticket keys of now to a ramfs");
  command->add_option("NAME", arguments->name, "URI or path of the symmetric key")->required();
  command->add_option("--dir", arguments->folder, "Folder for current.key, previous.key, next.key")
      ->required();
  command->add_option("--period", arguments->period, "Seconds that a key is the current one")
      ->check(CLI::Range(1, 604800));
  command->add_flag("--mount", arguments->mount, "Mount a ramfs there, if it is none");
  add_wait(*command, arguments->wait);
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return write_ticket_keys(console, *arguments); };
  });
}

}  // namespace vhsm::cli
