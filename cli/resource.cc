// SPDX-License-Identifier: Apache-2.0
//
// vhsm fetch: brings keys in before traffic. vhsm resource sign: what the owner of a key does to it
// before a KBS gets it, on a machine of their own.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "cli/console.h"
#include "cli/patience.h"
#include "keystore/material.h"
#include "memory/protected_memory.h"
#include "module/assembly.h"
#include "nitride/release_key.h"

namespace vhsm::cli {
namespace {

// ----- fetch
// --------------------------------------------------------------------------------------

struct Fetched {
  std::string uri;
  Status outcome;
  std::chrono::milliseconds took{0};
};

struct FetchArguments {
  std::vector<std::string> names;
  std::chrono::seconds::rep wait = 0;
};

Result<Fetched> fetch_one(const Parts& parts, const std::string& name,
                          std::chrono::seconds patience) {
  const auto uri = VHSM_TRY(keystore::KeyUri::parse(name, parts.settings.kbs_path, true));
  const auto begin = std::chrono::steady_clock::now();
  const auto entry = ask_with_patience(patience, [&] { return parts.keystore->open(uri); });
  return Fetched{
      uri.name.uri(), entry.ok() ? Status() : Status(entry.error()),
      std::chrono::round<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin)};
}

Json as_json(const Fetched& fetched) {
  Json json{{"uri", fetched.uri}, {"milliseconds", fetched.took.count()}};
  json["outcome"] = fetched.outcome.ok() ? "here" : reason(fetched.outcome.error().code);
  if (!fetched.outcome.ok()) json["error"] = describe(fetched.outcome.error());
  return json;
}

std::string as_text(const Fetched& fetched) {
  if (!fetched.outcome.ok()) return fmt::format("fail {}\n", describe(fetched.outcome.error()));
  return fmt::format("here {}, {} ms\n", fetched.uri, fetched.took.count());
}

Result<Exit> fetch(const Console& console, const FetchArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  Exit exit = Exit::kDone;
  const auto deadline = Clock::now() + std::chrono::seconds(arguments.wait);
  for (const std::string& name : arguments.names) {
    const auto left = std::chrono::ceil<std::chrono::seconds>(deadline - Clock::now());
    const Fetched fetched =
        VHSM_TRY(fetch_one(parts, name, std::max(left, std::chrono::seconds(0))));
    if (!fetched.outcome.ok()) exit = Exit::kRefused;
    VHSM_TRY(console.json ? print_json(as_json(fetched)) : print(as_text(fetched)));
  }
  return exit;
}

// ----- resource sign
// ------------------------------------------------------------------------------

struct SignArguments {
  std::string name;
  std::string file;
  std::string key;
  std::string out;
};

/// A whole file, straight into protected memory.
Result<SecretBytes> read_secret(const std::string& path) {
  constexpr off_t kMostBytes = off_t{1} << 20;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || status.st_size > kMostBytes) {
    return fail(Errc::kIo, "the file cannot be read, or is larger than 1 MiB", path);
  }
  auto bytes = VHSM_TRY(SecretBytes::zeros(static_cast<std::size_t>(status.st_size)));
  const memory::Access access;
  const ssize_t size = ::read(file.get(), bytes.expose().data(), bytes.size());
  if (size != status.st_size) return fail(Errc::kIo, "the file cannot be read", path);
  return bytes;
}

/// For the owner alone; a file that is there is left alone.
Status write_secret(const std::string& path, const SecretBytes& bytes) {
  const Descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600));
  if (!file.valid()) return fail(Errc::kIo, "the file is there already, or cannot be made", path);
  const memory::Access access;
  const auto written = ::write(file.get(), bytes.expose().data(), bytes.size());
  if (written == static_cast<ssize_t>(bytes.size()) && ::fsync(file.get()) == 0) return {};
  return fail(Errc::kIo, "the file cannot be written", path);
}

Result<Exit> sign(const Console& console, const SignArguments& arguments) {
  VHSM_TRY(memory::initialise({}));
  const auto name = VHSM_TRY(keystore::KeyName::parse(arguments.name));
  const auto pem = VHSM_TRY(read_secret(arguments.key));
  const auto release_key = keystore::parse_material(pem);
  if (!release_key.ok()) return release_key.error().about(arguments.key);
  if (release_key.value().pair == nullptr) {
    return fail(Errc::kNoPrivateKey, "a release key's private half signs", arguments.key);
  }
  const auto resource = VHSM_TRY(read_secret(arguments.file));
  const auto object =
      VHSM_TRY(nitride::sign_resource(name.path(), resource, release_key.value().pair.get()));
  VHSM_TRY(write_secret(arguments.out, object));
  VHSM_TRY(console.json ? print_json(Json{{"signed", name.path()}, {"file", arguments.out}})
                        : print(fmt::format("signed for {}: {}\n", name.path(), arguments.out)));
  return Exit::kDone;
}

void add_sign(CLI::App& resource, Console& console) {
  const auto arguments = std::make_shared<SignArguments>();
  CLI::App* const command =
      resource.add_subcommand("sign", "Sign a resource for its name, before a KBS gets it");
  command->add_option("NAME", arguments->name, "Path of the resource, as default/tls/www")
      ->required();
  command->add_option("FILE", arguments->file, "The resource")->required();
  command->add_option("--key", arguments->key, "PEM file with the private release key")->required();
  command->add_option("--out", arguments->out, "File to make, for the KBS")->required();
  add_json(*command, console);
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return sign(console, *arguments); };
  });
}

}  // namespace

void add_fetch(CLI::App& app, Console& console) {
  const auto arguments = std::make_shared<FetchArguments>();
  CLI::App* const command = app.add_subcommand("fetch", "Bring keys in before they are used");
  command->add_option("URI", arguments->names, "URIs or paths of keys")->required();
  add_wait(*command, arguments->wait);
  add_json(*command, console);
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return fetch(console, *arguments); };
  });
}

void add_resource(CLI::App& app, Console& console) {
  CLI::App* const resource = app.add_subcommand("resource", "Prepare what a KBS is to keep");
  resource->require_subcommand(1);
  add_sign(*resource, console);
}

}  // namespace vhsm::cli
