// SPDX-License-Identifier: Apache-2.0
//
// vhsm encrypt, decrypt, mac: what symmetric keys are used for, where they are.
#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/streams.h"
#include "jose/base64.h"
#include "keystore/sealed_stream.h"
#include "module/assembly.h"

namespace vhsm::cli {
namespace {

using keystore::KeyUri;

struct CryptArguments {
  std::string name;
  std::string file = "-";
  std::string out = "-";
  std::string digest = "SHA256";
  std::string format = "hex";
};

Result<KeyUri> key_uri(const CryptArguments& arguments, const Settings& settings) {
  auto uri = VHSM_TRY(KeyUri::parse(arguments.name, settings.kbs_path, true));
  uri.type = keystore::ObjectType::kSecret;
  return uri;
}

using Transform = Status (*)(keystore::Keystore&, const KeyUri&, const keystore::Source&,
                             const keystore::Sink&);

template <Transform transform>
Result<Exit> crypt(const Console& console, const CryptArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(key_uri(arguments, parts.settings));
  const auto in = VHSM_TRY(InputStream::open(arguments.file));
  auto out = VHSM_TRY(OutputStream::open(arguments.out));
  const Status done = transform(
      *parts.keystore, uri, [&](std::span<std::uint8_t> into) { return in.fill(into); },
      [&](std::span<const std::uint8_t> bytes) { return out.write(bytes); });
  if (!done.ok()) return done.error().about(arguments.file);
  VHSM_TRY(out.complete());
  return Exit::kDone;
}

// ----- mac ---------------------------------------------------------------------------------------

using Bytes = std::vector<std::uint8_t>;

std::string hex(const Bytes& bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text + "\n";
}
std::string base64url(const Bytes& bytes) { return jose::base64url(bytes) + "\n"; }
std::string raw(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

struct Format {
  const char* name;
  std::string (*write)(const Bytes&);
};
constexpr std::array<Format, 3> kFormats{{{"hex", hex}, {"base64url", base64url}, {"raw", raw}}};

Status feed(keystore::SymmetricOperation& mac, const InputStream& in) {
  auto piece = VHSM_TRY(SecretBytes::zeros(keystore::kStreamChunkBytes));
  for (;;) {
    const std::size_t size = VHSM_TRY(in.fill(piece.expose()));
    if (size == 0) return {};
    [[maybe_unused]] const std::size_t none = VHSM_TRY(mac.update(piece.expose().first(size), {}));
  }
}

Result<Bytes> code_of(const Parts& parts, const KeyUri& uri, std::string digest,
                      const InputStream& in) {
  constexpr std::size_t kMostBytes = 64;
  const auto entry = VHSM_TRY(parts.keystore->open(uri));
  const auto mac = VHSM_TRY(parts.keystore->make_operation(keystore::kHmac));
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  VHSM_TRY(mac->set_params(params));
  auto key = VHSM_TRY(symmetric_in(entry, uri.name));
  VHSM_TRY(mac->start({.key = std::move(key)}));
  VHSM_TRY(feed(*mac, in));
  Bytes code(kMostBytes);
  const std::size_t size = VHSM_TRY(mac->finish(code));
  code.resize(size);
  return code;
}

Result<Exit> mac(const Console& console, const CryptArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(key_uri(arguments, parts.settings));
  const auto in = VHSM_TRY(InputStream::open(arguments.file));
  const Bytes code = VHSM_TRY(code_of(parts, uri, arguments.digest, in));
  for (const Format& format : kFormats) {
    if (arguments.format == format.name) VHSM_TRY(print(format.write(code)));
  }
  return Exit::kDone;
}

// ----- commands ----------------------------------------------------------------------------------

struct Command {
  const char* name;
  const char* what;
  Result<Exit> (*run)(const Console&, const CryptArguments&);
};
constexpr std::array<Command, 3> kCommands{{
    {"encrypt", "Encrypt a file of any size under a symmetric key",
     crypt<keystore::encrypt_stream>},
    {"decrypt", "Decrypt what vhsm encrypt has written", crypt<keystore::decrypt_stream>},
    {"mac", "Compute an HMAC of a file, for a JWT for example", mac},
}};

}  // namespace

void add_crypt(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<CryptArguments>();
  for (const Command& command : kCommands) {
    CLI::App* const added = app.add_subcommand(command.name, command.what);
    added->add_option("NAME", arguments->name, "URI or path of the key")->required();
    added->add_option("FILE", arguments->file, "What to read; - is standard input");
    added->callback([&console, arguments, run = command.run] {
      console.action = [&console, arguments, run] { return run(console, *arguments); };
    });
  }
  for (const char* const name : {"encrypt", "decrypt"}) {
    app.get_subcommand(name)->add_option(
        "--out", arguments->out, "File that appears when all is done; - is standard output");
  }
  CLI::App* const code = app.get_subcommand("mac");
  code->add_option("--digest", arguments->digest, "SHA256, SHA384, SHA512, ...");
  code->add_option("--format", arguments->format, "hex, base64url or raw")
      ->check(CLI::IsMember({"hex", "base64url", "raw"}));
}

}  // namespace vhsm::cli
