// SPDX-License-Identifier: Apache-2.0
//
// vhsm key: what is publicly known of a key or secret, and a key's PEM stand-in. What is not public
// is fetched into protected memory on the way and ends with the command.
#include "keystore/key.h"

#include <fmt/format.h>
#include <openssl/asn1.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include "base/handle.h"
#include "cli/console.h"
#include "module/assembly.h"
#include "provider/stand_in.h"
#include "snp/hex.h"

namespace vhsm::cli {
namespace {

struct KeyArguments {
  std::string name;
  std::string out;
};

struct OpenedKey {
  std::string uri;
  keystore::Entry entry;
  bool by_daemon = false;
  std::optional<keystore::KeyLine> line{};  ///< of a key in a folder
  std::uint64_t fetches = 0;
  std::chrono::milliseconds took{0};
};

/// What the list says of the version that was opened.
Result<std::optional<keystore::KeyLine>> line_of(const Parts& parts, const std::string& opened) {
  const auto uri = VHSM_TRY(keystore::KeyUri::parse(opened, {}));
  const auto lines = VHSM_TRY(parts.keystore->list());
  const auto is_meant = [&](const keystore::KeyLine& line) {
    return line.name == uri.name && line.version == uri.version.value_or(0);
  };
  const auto found = std::ranges::find_if(lines, is_meant);
  return found == lines.end() ? std::nullopt : std::optional(*found);
}

/// With the version that was opened, if it has one.
const keystore::KeyUri* uri_in(const keystore::Entry& entry) {
  if (entry.key != nullptr) return entry.key->uri();
  return entry.symmetric != nullptr ? entry.symmetric->uri() : nullptr;
}

Result<OpenedKey> open_key(const Console& console, const std::string& name) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const auto uri = VHSM_TRY(keystore::KeyUri::parse(name, parts.settings.kbs_path, true));
  const auto begin = std::chrono::steady_clock::now();
  OpenedKey opened;
  opened.uri = uri.name.uri();
  opened.entry = VHSM_TRY(parts.keystore->open(uri));
  if (const auto* const named = uri_in(opened.entry)) opened.uri = named->text();
  opened.line = VHSM_TRY(line_of(parts, opened.uri));
  opened.took =
      std::chrono::round<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  opened.by_daemon = parts.daemon != nullptr;
  opened.fetches = parts.metrics->fetches.load();
  return opened;
}

/// Bits of the key; 0 where the type does not say.
int bits_of(const keystore::Key& key) {
  int bits = 0;
  OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_BITS, &bits),
                         OSSL_PARAM_construct_end()};
  return key.get_params(params).ok() ? bits : 0;
}

std::string sha256_hex(std::span<const std::uint8_t> bytes) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256(bytes.data(), bytes.size(), digest.data());
  return snp::to_hex(digest);
}

/// What a BIO printer wrote.
std::string text_of(const ossl::Bio& bio) {
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return size > 0 ? printable({text, static_cast<std::size_t>(size)}) : std::string();
}

std::string subject_of(const X509* certificate) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  return text_of(bio);
}

std::string expiry_of(const X509* certificate) {
  tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return "unknown";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", time.tm_year + 1900, time.tm_mon + 1,
                     time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec);
}

/// Empty subject for bytes that are no certificate (the keystore gives none).
Json describe_certificate(std::span<const std::uint8_t> der) {
  const ossl::ErrorMark quiet;
  const unsigned char* next = der.data();
  const ossl::X509Cert certificate(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
  if (certificate == nullptr) return {{"subject", ""}};
  return {{"subject", subject_of(certificate.get())},
          {"expires", expiry_of(certificate.get())},
          {"expired", X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0}};
}

const char* source_of(const OpenedKey& opened) noexcept {
  if (opened.by_daemon) return "vhsmd";
  return opened.fetches > 0 ? "fetched from the KBS" : "was here";
}

Result<Json> describe_opened(const OpenedKey& opened) {
  Json json{{"uri", opened.uri}};
  if (opened.entry.key != nullptr) {
    const keystore::Key& key = *opened.entry.key;
    json["type"] = key.type().name;
    json["bits"] = bits_of(key);
    json["private"] = key.has_private();
    const auto public_key = VHSM_TRY(key.public_key_info());
    json["public_key_sha256"] = sha256_hex(public_key);
  }
  if (opened.entry.symmetric != nullptr) {  // of a secret that comes out no more is told, either
    const bool known = opened.line.has_value() && !opened.line->type.empty();
    json["type"] = known ? opened.line->type : "SECRET";
    json["bits"] = 8 * opened.entry.symmetric->size();
  }
  if (opened.line.has_value()) json["policy"] = opened.line->policy;
  if (opened.line.has_value() && opened.line->uses_left.has_value()) {
    json["uses_left"] = *opened.line->uses_left;
  }
  json["certificates"] = Json::array();
  for (const auto& der : opened.entry.certificates) {
    json["certificates"].push_back(describe_certificate(der));
  }
  json["source"] = source_of(opened);
  json["milliseconds"] = opened.took.count();
  return json;
}

/// The members of describe_opened() are there, in its types.
std::string as_text(const Json& json) {
  std::string text = fmt::format("URI          {}\n", json["uri"].get<std::string>());
  if (json.contains("type")) {
    text += fmt::format("type         {}, {} bits{}\n", json["type"].get<std::string>(),
                        json["bits"].get<int>(),
                        json.value("private", true) ? "" : ", public half only");
  }
  if (json.contains("public_key_sha256")) {
    text += fmt::format("public key   SHA-256 {}\n", json["public_key_sha256"].get<std::string>());
  }
  const std::string policy = json.value("policy", "");
  if (!policy.empty()) text += fmt::format("policy       {}\n", printable(policy));
  if (json.contains("uses_left")) {
    text += fmt::format("uses left    {}\n", json["uses_left"].get<std::uint64_t>());
  }
  for (const Json& one : json["certificates"]) {
    text +=
        fmt::format("certificate  {}, {} {}\n", one["subject"].get<std::string>(),
                    one.value("expired", false) ? "EXPIRED" : "until", one.value("expires", ""));
  }
  return text + fmt::format("source       {}, {} ms\n", json["source"].get<std::string>(),
                            json["milliseconds"].get<long>());
}

Result<Exit> show(const Console& console, const KeyArguments& arguments) {
  const OpenedKey opened = VHSM_TRY(open_key(console, arguments.name));
  const Json json = VHSM_TRY(describe_opened(opened));
  VHSM_TRY(console.json ? print_json(json) : print(as_text(json)));
  return Exit::kDone;
}

Result<Exit> pem(const Console& console, const KeyArguments& arguments) {
  const OpenedKey opened = VHSM_TRY(open_key(console, arguments.name));
  if (opened.entry.key == nullptr || !opened.entry.key->has_private()) {
    return fail(Errc::kNoPrivateKey, "a stand-in needs a private key", opened.uri);
  }
  const keystore::Key& key = *opened.entry.key;
  const auto public_key = VHSM_TRY(key.public_key_info());
  const auto der = provider::encode_stand_in({opened.uri, key.type().name, public_key});
  const std::string text = provider::to_pem(provider::kStandInLabel, der);
  if (!arguments.out.empty()) {
    VHSM_TRY(write_file(arguments.out, as_bytes(text)));
  } else if (console.json) {
    VHSM_TRY(print_json(Json{{"uri", opened.uri}, {"pem", text}}));
  } else {
    VHSM_TRY(print(text));
  }
  return Exit::kDone;
}

CLI::App* add_command(CLI::App& parent, const char* name, const char* what, Console& console,
                      const std::shared_ptr<KeyArguments>& arguments,
                      Result<Exit> (*run)(const Console&, const KeyArguments&)) {
  CLI::App* const command = parent.add_subcommand(name, what);
  command->add_option("NAME", arguments->name, "URI or path of the key")->required();
  add_json(*command, console);
  command->callback([&console, arguments, run] {
    console.action = [&console, arguments, run] { return run(console, *arguments); };
  });
  return command;
}

}  // namespace

void add_key(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<KeyArguments>();
  CLI::App* const key =
      app.add_subcommand("key", "Make keys, look at them, and say who may use them");
  key->require_subcommand(1);
  add_command(*key, "show", "Print what is public of a key", console, arguments, show);
  CLI::App* const stand_in =
      add_command(*key, "pem", "Write the PEM stand-in, for programs that take only files", console,
                  arguments, pem);
  stand_in->add_option("--out", arguments->out, "File to write instead of standard output");
  add_key_life(*key, console);
  add_key_request(*key, console);
  add_key_proof(*key, console);
  add_key_backup(*key, console);
  add_grants(*key, console);
}

}  // namespace vhsm::cli
