// SPDX-License-Identifier: Apache-2.0
//
// What every command shares: its options, how it prints, and how it ends.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/settings.h"

namespace vhsm::cli {

using Json = nlohmann::ordered_json;

/// How the process ends.
enum class Exit : int { kDone = 0, kRefused = 1, kUsage = 2 };

/// The command that was chosen, and what stood before it.
struct Console {
  bool json = false;
  std::string config;                    ///< --config; empty: as load_settings()
  std::function<Result<Exit>()> action;  ///< set by the command that was parsed

  [[nodiscard]] std::vector<Override> overrides() const;
};

/// Each adds its command to `app`; `console` outlives it.
void add_doctor(CLI::App& app, Console& console);
void add_key(CLI::App& app, Console& console);
void add_keystore(CLI::App& app, Console& console);
/// Each adds its commands to `key`.
void add_key_backup(CLI::App& key, Console& console);
void add_key_life(CLI::App& key, Console& console);
void add_key_proof(CLI::App& key, Console& console);
void add_key_request(CLI::App& key, Console& console);
void add_grants(CLI::App& key, Console& console);
void add_fetch(CLI::App& app, Console& console);
void add_secret(CLI::App& app, Console& console);
void add_crypt(CLI::App& app, Console& console);
void add_ticket_keys(CLI::App& app, Console& console);
/// Adds its command to `secret`.
void add_serve(CLI::App& secret, Console& console);
void add_resource(CLI::App& app, Console& console);
void add_attest(CLI::App& app, Console& console);
void add_report(CLI::App& app, Console& console);
void add_measure(CLI::App& app, Console& console);

/// Makes an empty value of any option wrong usage, here and in all subcommands: --policy "$POLICY"
/// of a script that has lost its variable must not ask for less.
void refuse_empty_values(CLI::App& app);

/// Adds --json to a command.
void add_json(CLI::App& command, Console& console);
/// Adds --wait, for boot: how many seconds it asks again while a KBS or vhsmd is not there.
void add_wait(CLI::App& command, std::chrono::seconds::rep& wait);

/// Writes to standard output.  @errors kIo when it is closed or full.
Status print(std::string_view text);
Status print_json(const Json& json);
Status print_bytes(std::span<const std::uint8_t> bytes);

/// Replaces or makes the file with mode 0644.  @errors kIo.
Status write_file(const std::string& path, std::span<const std::uint8_t> bytes);

/// Text from certificates and devices, with terminal controls replaced by '?'.
[[nodiscard]] std::string printable(std::string_view text);

[[nodiscard]] inline std::span<const std::uint8_t> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace vhsm::cli
