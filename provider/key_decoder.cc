// SPDX-License-Identifier: Apache-2.0
#include "provider/key_decoder.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "provider/der.h"
#include "provider/objects.h"
#include "provider/provider.h"
#include "provider/stand_in.h"

namespace vhsm::provider {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::size_t kMaxLineBytes = 256;
constexpr std::size_t kHeadBytes = 16;  // more than a stand-in's fixed beginning, less than any

/// The text between BEGIN and END of the next PEM block, if it is a stand-in. The block is consumed
/// in any case, as libcrypto goes on from where the last decoder stopped.
std::optional<std::string> next_stand_in(const ossl::Core& core, OSSL_CORE_BIO* in) {
  std::array<char, kMaxLineBytes> buffer{};
  std::string body;
  bool inside = false;
  bool ours = false;
  for (std::size_t size = 0; (size = core.read_line(in, buffer)) != 0;) {
    const std::string_view line(buffer.data(), size);
    if (line.starts_with(kBegin)) {
      inside = true;
      ours = line.substr(kBegin.size()).starts_with(std::string(kStandInLabel) + "-----");
    } else if (inside && line.starts_with(kEnd)) {
      return ours ? std::optional(body) : std::nullopt;
    } else if (ours && body.size() < 2 * kMaxStandInBytes) {
      body.append(line);
    }
  }
  return std::nullopt;
}

/// The stand-in at the front of `in`; nothing when it holds anything else.
std::optional<StandIn> read_stand_in(const ossl::Core& core, OSSL_CORE_BIO* in) {
  std::vector<std::uint8_t> der(kHeadBytes);
  if (core.read(in, der) != der.size() || !looks_like_stand_in(der)) return std::nullopt;
  const auto whole = der::whole_bytes(der);
  if (!whole.ok() || whole.value() <= kHeadBytes || whole.value() > kMaxStandInBytes) {
    return std::nullopt;
  }
  der.resize(whole.value());
  const auto rest = std::span(der).subspan(kHeadBytes);
  if (core.read(in, rest) != rest.size()) return std::nullopt;
  auto parsed = parse_stand_in(der);
  return parsed.ok() ? std::optional(std::move(parsed).value()) : std::nullopt;
}

}  // namespace

Result<bool> decode_stand_in_pem(const ossl::Core& core, OSSL_CORE_BIO* in, OSSL_CALLBACK* tell,
                                 void* arg) {
  const auto body = next_stand_in(core, in);
  if (!body.has_value()) return true;
  const auto der = VHSM_TRY(from_base64(*body));
  const StandIn stand_in = VHSM_TRY(parse_stand_in(der));
  return tell_stand_in(der, stand_in.type.c_str(), tell, arg);
}

Result<bool> decode_stand_in_der(Provider& provider, const keystore::KeyType& type,
                                 OSSL_CORE_BIO* in, OSSL_CALLBACK* tell, void* arg) {
  const auto stand_in = read_stand_in(provider.core(), in);
  if (!stand_in.has_value() || keystore::find_key_type(stand_in->type) != &type) return true;
  const auto uri = VHSM_TRY(keystore::KeyUri::parse(stand_in->uri, provider.settings().kbs_path));
  auto key = VHSM_TRY(provider.keystore().open_stand_in(uri, type, stand_in->public_key_info));
  const KeyHandle handle(provider, type, std::move(key));
  return tell_key(handle, tell, arg);
}

}  // namespace vhsm::provider
