// SPDX-License-Identifier: Apache-2.0
#include "nitride/protocol.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>

#include "jose/jcs.h"
#include "jose/json.h"
#include "jose/jwt.h"
#include "jose/runtime.h"
#include "snp/hex.h"

namespace vhsm::nitride {
namespace {

using jose::Json;

constexpr std::size_t kMaxNonceBytes = 1024;
constexpr std::chrono::hours kLongestLife{24};  // whatever a token says
// The one marker of a version mismatch that all releases since v0.10 share.
constexpr std::string_view kVersionMismatch = "KBS Client Protocol Version Mismatch";

struct HashName {
  RuntimeHash hash;
  const char* wire;
  const char* openssl;
};
constexpr std::array<HashName, 3> kHashes{{{RuntimeHash::kSha256, "sha256", "SHA2-256"},
                                           {RuntimeHash::kSha384, "sha384", "SHA2-384"},
                                           {RuntimeHash::kSha512, "sha512", "SHA2-512"}}};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

Result<RuntimeHash> selected_hash(const Json& extra) {
  const Json* selected = jose::find_member(extra, "selected-hash-algorithm");
  if (selected == nullptr) return RuntimeHash::kSha384;
  if (selected->is_string()) {
    const std::string name = lower(selected->get_ref<const std::string&>());
    const auto found =
        std::ranges::find_if(kHashes, [&](const HashName& h) { return name == h.wire; });
    if (found != kHashes.end()) return found->hash;
  }
  return fail(Errc::kVersion, "the KBS asks for a hash that was not offered");
}

Result<std::vector<std::uint8_t>> digest_of(OSSL_LIB_CTX* library, const char* hash,
                                            std::string_view text) {
  std::vector<std::uint8_t> digest(EVP_MAX_MD_SIZE);
  std::size_t size = 0;
  VHSM_TRY(
      crypto(EVP_Q_digest(library, hash, nullptr, text.data(), text.size(), digest.data(), &size),
             "the runtime data cannot be hashed"));
  digest.resize(size);
  return digest;
}

std::optional<std::int64_t> number(const Json& claims, std::string_view name) {
  const Json* member = jose::find_member(claims, name);
  if (member == nullptr || !member->is_number_integer()) return std::nullopt;
  return member->get<std::int64_t>();
}

std::chrono::seconds life_of(const Json& claims) {
  const auto issued = number(claims, "iat");
  const auto ends = number(claims, "exp");
  const bool sane = issued && ends && *issued >= 0 && *ends >= *issued;
  return sane ? std::min<std::chrono::seconds>(std::chrono::seconds(*ends - *issued), kLongestLife)
              : kSessionLife;
}

/// What an error variant of the KBS means, wherever it comes.
struct Meaning {
  std::string_view type;
  Errc code;
  Literal what;
};
constexpr std::array<Meaning, 14> kMeanings{{
    {"ProtocolVersion", Errc::kVersion, "the KBS does not speak protocol 0.4.0"},
    {"AttestationError", Errc::kNotAttested, "the attestation service refuses this VM"},
    {"TokenNotFound", Errc::kNotAttested, "the KBS does not know this VM's attestation"},
    {"TokenVerifierError", Errc::kNotAttested, "the KBS does not trust the attestation's token"},
    {"PolicyDeny", Errc::kDenied, "the KBS's policy does not release this key to this VM"},
    {"PolicyEngineError", Errc::kDenied, "the KBS cannot evaluate its policy"},
    {"ParsePolicyError", Errc::kDenied, "the KBS cannot evaluate its policy"},
    {"AdminAuthAccess", Errc::kDenied, "the KBS takes the request for an administrator's"},
    {"AdminAuthInitialization", Errc::kDenied, "the KBS takes the request for an administrator's"},
    {"PluginInternalError", Errc::kMissing, "the KBS has no such key, or cannot read it"},
    {"ResourceNotFound", Errc::kMissing, "the KBS has no such key"},
    {"PluginNotFound", Errc::kMissing, "the KBS serves no resources"},
    {"InvalidRequestPath", Errc::kMissing, "the KBS does not accept this key's name"},
    {"JweError", Errc::kVersion, "the KBS cannot encrypt to this VM's key"},
}};

bool ends_session(std::string_view type) {
  return type == "TokenNotFound" || type == "TokenVerifierError";
}

/// What a KBS, or a proxy before it, says of itself and not of the request.
bool is_trouble(unsigned status) { return status >= 500 || status == 408 || status == 429; }

Error by_resource_status(unsigned status) {
  switch (status) {
    case 401: return fail(Errc::kNotAttested, "the KBS does not know this VM's attestation");
    case 403: return fail(Errc::kDenied, "the KBS's policy does not release this key to this VM");
    case 404: return fail(Errc::kMissing, "the KBS has no such key");
    default: break;
  }
  if (is_trouble(status)) return fail(Errc::kUnreachable, "the KBS has trouble of its own");
  return fail(Errc::kUnreachable, "the KBS's answer has an unexpected status");
}

Error by_attestation_status(unsigned status) {
  if (status == 401 || status == 403) {
    return fail(Errc::kNotAttested, "the attestation service refuses this VM");
  }
  if (is_trouble(status)) return fail(Errc::kUnreachable, "the KBS has trouble of its own");
  if (status >= 300 && status < 400) {
    return fail(Errc::kUnreachable, "the KBS redirects, which is not followed");
  }
  if (status == 404) return fail(Errc::kUnreachable, "there is no KBS at this address");
  return fail(Errc::kVersion, "the KBS does not understand requests of protocol 0.4.0");
}

/// The last segment of the `type` URL, and the `detail`.
struct Problem {
  std::string type;
  std::string detail;
};

Problem parse_problem(std::string_view body) {
  const auto object = jose::parse_object(body);
  if (!object.ok()) return {{}, printable(body)};
  const auto text = [&](std::string_view name) {
    const auto member = jose::text_member(object.value(), name);
    return member.ok() ? std::string(member.value()) : std::string();
  };
  const std::string type = text("type");
  return {type.substr(type.rfind('/') + 1), printable(text("detail"))};
}

}  // namespace

std::string auth_body(std::string_view tee) {
  return Json{{"version", kProtocolVersion},
              {"tee", tee},
              {"extra-params",
               {{"supported-hash-algorithms", Json::array({"sha256", "sha384", "sha512"})}}}}
      .dump();
}

Result<Challenge> parse_challenge(std::string_view body) {
  const auto object = jose::parse_object(body);
  if (!object.ok()) return fail(Errc::kForged, "the KBS's challenge is not JSON");
  const auto nonce = jose::text_member(object.value(), "nonce");
  if (!nonce.ok() || nonce.value().empty() || nonce.value().size() > kMaxNonceBytes) {
    return fail(Errc::kForged, "the KBS's challenge has no nonce");
  }
  Challenge challenge{std::string(nonce.value()), RuntimeHash::kSha384};
  if (const Json* extra = jose::find_member(object.value(), "extra-params"); extra != nullptr) {
    challenge.hash = VHSM_TRY(selected_hash(*extra));
  }
  return challenge;
}

Result<std::vector<std::uint8_t>> runtime_digest(OSSL_LIB_CTX* library, const Challenge& challenge,
                                                 const jose::TeeJwk& tee_key) {
  const std::string text = jose::canonical(jose::runtime_claims(challenge.nonce, tee_key));
  const auto named = std::ranges::find(kHashes, challenge.hash, &HashName::hash);
  return digest_of(library, named->openssl, text);
}

Result<std::string> nonce_id(OSSL_LIB_CTX* library, std::string_view nonce) {
  constexpr std::size_t kBytes = 8;
  const auto digest = VHSM_TRY(digest_of(library, "SHA2-256", nonce));
  return snp::to_hex(std::span(digest).first(kBytes));
}

std::string attest_body(const Challenge& challenge, const jose::TeeJwk& tee_key,
                        const Json& evidence) {
  return Json{
      {"init-data", nullptr},
      {"runtime-data", {{"nonce", challenge.nonce}, {"tee-pubkey", jose::to_json(tee_key)}}},
      {"tee-evidence", {{"primary_evidence", evidence}, {"additional_evidence", ""}}}}
      .dump();
}

Result<Approval> parse_approval(std::string_view body) {
  const auto object = jose::parse_object(body);
  const auto token = object.ok() ? jose::text_member(object.value(), "token")
                                 : Result<std::string_view>(object.error());
  if (!token.ok()) return fail(Errc::kForged, "the attestation's answer has no token");
  const auto claims = jose::unverified_claims(token.value());
  if (!claims.ok()) return fail(Errc::kForged, "the attestation's token is no JWT");
  // In a header's value it must stay one line.
  if (printable(token.value(), token.value().size()) != token.value()) {
    return fail(Errc::kForged, "the attestation's token is no JWT");
  }
  return Approval{std::string(token.value()), life_of(claims.value())};
}

Refusal classify(Stage stage, const HttpAnswer& answer) {
  const Problem problem = parse_problem(answer.body);
  Refusal refusal{stage == Stage::kResource ? by_resource_status(answer.status)
                                            : by_attestation_status(answer.status),
                  false, problem.detail};
  if (answer.body.find(kVersionMismatch) != std::string::npos) {
    refusal.error = fail(Errc::kVersion, "the KBS does not speak protocol 0.4.0");
    return refusal;
  }
  const auto meaning = std::ranges::find(kMeanings, problem.type, &Meaning::type);
  if (meaning != kMeanings.end()) refusal.error = fail(meaning->code, meaning->what);
  refusal.session_ended =
      stage == Stage::kResource &&
      (ends_session(problem.type) || (answer.status == 401 && meaning == kMeanings.end()));
  return refusal;
}

std::string printable(std::string_view text, std::size_t most) {
  std::string out(text.substr(0, most));
  std::ranges::replace_if(
      out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

}  // namespace vhsm::nitride
