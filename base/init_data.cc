// SPDX-License-Identifier: Apache-2.0
#include "base/init_data.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <utility>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "base/handle.h"

namespace vhsm {
namespace {

constexpr std::string_view kVersion = "0.1.0";

struct HashName {
  std::string_view name;
  const char* openssl;
};
constexpr std::array<HashName, 3> kHashes{
    {{"sha256", "SHA2-256"}, {"sha384", "SHA2-384"}, {"sha512", "SHA2-512"}}};

Error not_init_data(const toml::source_region& place) {
  return fail(Errc::kBadFormat, "init-data is version, algorithm and [data], all of them texts",
              "line " + std::to_string(place.begin.line));
}

/// The text of `node`; null for anything else, or for none.
const std::string* text_of(const toml::node* node) noexcept {
  const auto* const text = node != nullptr ? node->as_string() : nullptr;
  return text != nullptr ? &text->get() : nullptr;
}

bool is(const toml::table& table, std::string_view name, std::string_view value) noexcept {
  const std::string* const text = text_of(table.get(name));
  return text != nullptr && *text == value;
}

Result<Documents> texts_of(const toml::table& data) {
  Documents documents;
  for (const auto& [name, node] : data) {
    const std::string* const text = text_of(&node);
    if (text == nullptr) return not_init_data(node.source());
    documents.emplace(name.str(), *text);
  }
  return documents;
}

std::string hex_of(std::span<const std::uint8_t> bytes) {
  std::string hex;
  for (const unsigned byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

Result<std::array<std::uint8_t, EVP_MAX_MD_SIZE>> digest_of(const HashName& hash,
                                                            std::string_view text) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  VHSM_TRY(crypto(EVP_Q_digest(nullptr, hash.openssl, nullptr, text.data(), text.size(),
                               digest.data(), nullptr),
                  "init-data cannot be hashed"));
  return digest;
}

/// The algorithm that makes `host_data` of `text`.
Result<std::string_view> measured_by(std::string_view text,
                                     std::span<const std::uint8_t> host_data) {
  for (const HashName& hash : kHashes) {
    const auto digest = VHSM_TRY(digest_of(hash, text));
    if (std::ranges::equal(std::span(digest).first(host_data.size()), host_data)) return hash.name;
  }
  constexpr std::size_t kShown = 8;
  const auto sha256 = VHSM_TRY(digest_of(kHashes[0], text));
  return fail(Errc::kBadConfig, "this VM was not launched with this init-data",
              "its SHA-256 is " + hex_of(std::span(sha256).first(kShown)) + "..., HOST_DATA " +
                  hex_of(host_data.first(kShown)) + "...");
}

}  // namespace

Result<InitData> parse_init_data(std::string_view text) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return not_init_data(parsed.error().source());
  const toml::table& all = parsed.table();
  const toml::table* const data = all["data"].as_table();
  const auto named = [&all](const HashName& hash) { return is(all, "algorithm", hash.name); };
  const auto* const hash = std::ranges::find_if(kHashes, named);
  if (!is(all, "version", kVersion) || hash == kHashes.end() || data == nullptr ||
      all.size() != 3) {
    return fail(
        Errc::kBadFormat,
        "init-data has version = \"0.1.0\", algorithm sha256, sha384 or sha512, and [data]");
  }
  auto documents = VHSM_TRY(texts_of(*data));
  return InitData{std::string(hash->name), std::move(documents)};
}

Result<Documents> measured_documents(std::string_view text,
                                     std::span<const std::uint8_t> host_data) {
  constexpr std::size_t kHostDataBytes = 32;
  if (host_data.size() != kHostDataBytes) return fail(Errc::kBadLength, "HOST_DATA");
  const auto algorithm = VHSM_TRY(measured_by(text, host_data));
  auto init_data = VHSM_TRY(parse_init_data(text));
  if (init_data.algorithm == algorithm) return std::move(init_data.documents);
  return fail(Errc::kBadFormat, "HOST_DATA is not of the algorithm that init-data names");
}

}  // namespace vhsm
