// SPDX-License-Identifier: Apache-2.0
#include "cli/console.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/foreign_arguments.h"

namespace vhsm::cli {
namespace {

struct CloseFile {
  void operator()(FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
};

}  // namespace

std::vector<Override> Console::overrides() const {
  if (config.empty()) return {};
  return {{"config", config}};
}

void refuse_empty_values(CLI::App& app) {
  for (CLI::Option* const option : app.get_options()) {
    if (option->get_name(true) == kForeignArguments) continue;
    option->check([](const std::string& value) {
      return value.empty() ? std::string("a value is missing") : std::string();
    });
  }
  for (CLI::App* const command : app.get_subcommands([](CLI::App*) { return true; })) {
    refuse_empty_values(*command);
  }
}

void add_json(CLI::App& command, Console& console) {
  command.add_flag("--json", console.json, "Print JSON");
}

void add_wait(CLI::App& command, std::chrono::seconds::rep& wait) {
  constexpr int kDay = 86400;
  command.add_option("--wait", wait, "Seconds to ask again while the KBS or vhsmd is not there")
      ->check(CLI::Range(0, kDay));
}

Status print_bytes(std::span<const std::uint8_t> bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size() ||
      std::fflush(stdout) != 0) {
    return fail(Errc::kIo, "nothing more can be written", "standard output");
  }
  return {};
}

Status print(std::string_view text) { return print_bytes(as_bytes(text)); }

Status print_json(const Json& json) {
  return print(json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n");
}

Status write_file(const std::string& path, std::span<const std::uint8_t> bytes) {
  std::unique_ptr<FILE, CloseFile> file(std::fopen(path.c_str(), "we"));
  if (file == nullptr) return fail(Errc::kIo, "this file cannot be made", path);
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
  if (std::fclose(file.release()) != 0 || !written) {
    return fail(Errc::kIo, "this file cannot be written", path);
  }
  return {};
}

std::string printable(std::string_view text) {
  std::string clean(text);
  std::ranges::replace_if(
      clean, [](char c) { return c < ' ' || c > '~'; }, '?');
  return clean;
}

}  // namespace vhsm::cli
