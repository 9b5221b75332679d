// SPDX-License-Identifier: Apache-2.0
//
// The provisioning service.
#include "kbs/provisioning_service.h"

#include "jose/jwe.h"

namespace vhsm::kbs {
namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr std::size_t kShownIdDigits = 8;

}  // namespace

Result<std::string> ProvisioningService::token(const Request& request) const {
  auto stored = sessions_->token(request.session);
  if (stored.ok()) return stored;
  if (!request.authorization.starts_with(kBearer)) return stored.error();
  return std::string(request.authorization.substr(kBearer.size()));
}

Result<std::string> ProvisioningService::release(Request& request) const {
  const std::string text = VHSM_TRY(token(request));
  request.step = Step::kVerify;
  const auto claims = VHSM_TRY(tokens_->verify(text));
  const AttestedVm vm = VHSM_TRY(attested_vm(claims));
  request.row.measurement = vm.measurement;
  request.row.chip_id = vm.chip_id;
  request.step = Step::kPolicy;
  if (!config_->release) return fail(Errc::kDenied, "resource_policy = nobody");
  request.step = Step::kFetch;
  if (!is_resource_path(request.path)) {
    return fail(Errc::kMissing, "a resource is not repository/type/tag");
  }
  const SecretBytes content = VHSM_TRY(store_->content(request.path));
  request.step = Step::kEncrypt;
  return jose::encrypt(content.expose(), vm.tee_key);
}

Reply ProvisioningService::refused(Step step, Errc code) const {
  const bool compat = config_->trustee_compat;
  if (step == Step::kToken) return refusal(401, "TokenNotFound", "Attestation Token not found");
  if (step == Step::kVerify) return refusal(401, "TokenVerifierError", "Token Verifier error");
  if (step == Step::kEncrypt) return refusal(401, "JweError", "JWE failed");
  if (code == Errc::kDenied) {
    return refusal(compat ? 401 : 403, "PolicyDeny", "Access denied by policy");
  }
  const int status = code == Errc::kMissing ? 404 : 500;
  return refusal(compat ? 401 : status, "PluginInternalError", "Plugin internal error");
}

Reply ProvisioningService::resource(std::string_view path, std::string_view cookie,
                                    std::string_view authorization, std::string_view peer) const {
  Request request{path, session_in(cookie), authorization, Step::kToken, {}};
  request.row.event = "resource";
  request.row.session = std::string_view(request.session).substr(0, kShownIdDigits);
  request.row.peer = peer;
  request.row.resource = path;
  auto released = release(request);
  request.row.outcome = released.ok() ? "granted" : "refused";
  if (!released.ok()) request.row.reason = reason_of(released.error());
  const Status recorded = journal_->decided(request.row);
  if (!released.ok()) return refused(request.step, released.error().code);
  if (!recorded.ok()) return refused(Step::kFetch, recorded.error().code);
  return {200, std::move(released).value(), {}};
}

}  // namespace vhsm::kbs
