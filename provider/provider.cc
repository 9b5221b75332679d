// SPDX-License-Identifier: Apache-2.0
#include "provider/provider.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <cstdint>
#include <utility>

#include "keystore/hot_set.h"
#include "memory/protected_memory.h"

namespace vhsm::provider {
namespace {

constexpr const char* kFetches = "vhsm-fetches";
constexpr const char* kReports = "vhsm-reports";
constexpr const char* kOperations = "vhsm-operations";
constexpr const char* kHotKeys = "vhsm-keys-hot";
constexpr const char* kShieldedKeys = "vhsm-keys-shielded";
constexpr const char* kMemoryInUse = "vhsm-memory-in-use";
constexpr const char* kMemoryLimit = "vhsm-memory-limit";
constexpr const char* kMemoryKind = "vhsm-memory-kind";
constexpr const char* kMemoryKey = "vhsm-memory-protection-key";

constexpr OSSL_PARAM describe_param(const char* name, unsigned type) {
  return {name, type, nullptr, 0, OSSL_PARAM_UNMODIFIED};
}

constexpr OSSL_PARAM kGettable[] = {
    describe_param(OSSL_PROV_PARAM_NAME, OSSL_PARAM_UTF8_PTR),
    describe_param(OSSL_PROV_PARAM_VERSION, OSSL_PARAM_UTF8_PTR),
    describe_param(OSSL_PROV_PARAM_BUILDINFO, OSSL_PARAM_UTF8_PTR),
    describe_param(OSSL_PROV_PARAM_STATUS, OSSL_PARAM_INTEGER),
    describe_param(kFetches, OSSL_PARAM_UNSIGNED_INTEGER),
    describe_param(kReports, OSSL_PARAM_UNSIGNED_INTEGER),
    describe_param(kOperations, OSSL_PARAM_UNSIGNED_INTEGER),
    describe_param(kHotKeys, OSSL_PARAM_UNSIGNED_INTEGER),
    describe_param(kShieldedKeys, OSSL_PARAM_UNSIGNED_INTEGER),
    describe_param(kMemoryInUse, OSSL_PARAM_UNSIGNED_INTEGER),
    describe_param(kMemoryLimit, OSSL_PARAM_UNSIGNED_INTEGER),
    describe_param(kMemoryKind, OSSL_PARAM_UTF8_PTR),
    describe_param(kMemoryKey, OSSL_PARAM_UNSIGNED_INTEGER),
    {nullptr, 0, nullptr, 0, 0},
};

Status answer_text(OSSL_PARAM params[], const char* name, const char* text) {
  OSSL_PARAM* param = OSSL_PARAM_locate(params, name);
  if (param == nullptr || OSSL_PARAM_set_utf8_ptr(param, text) == 1) return {};
  return fail(Errc::kInvalidArgument, "parameter is not a UTF-8 pointer", name);
}

Status answer_number(OSSL_PARAM params[], const char* name, std::uint64_t number) {
  OSSL_PARAM* param = OSSL_PARAM_locate(params, name);
  if (param == nullptr || OSSL_PARAM_set_uint64(param, number) == 1) return {};
  return fail(Errc::kInvalidArgument, "parameter is not an unsigned integer", name);
}

Status answer_memory(OSSL_PARAM params[]) {
  const memory::Usage memory = memory::usage();
  VHSM_TRY(answer_text(params, kMemoryKind, memory::name_of(memory::kind())));
  VHSM_TRY(answer_number(params, kMemoryInUse, memory.in_use_bytes));
  VHSM_TRY(answer_number(params, kMemoryLimit, memory.capacity_bytes));
  VHSM_TRY(answer_number(params, kMemoryKey, memory.has_protection_key ? 1 : 0));
  const keystore::HotSetCounters keys = keystore::hot_set().counters();
  VHSM_TRY(answer_number(params, kHotKeys, keys.hot));
  return answer_number(params, kShieldedKeys, keys.shielded);
}

std::vector<OSSL_ITEM> reason_strings() {
  std::vector<OSSL_ITEM> items;
  for (unsigned code = 1; code <= static_cast<unsigned>(Errc::kLast); ++code) {
    // OSSL_ITEM's pointer is not const; nobody writes through it.
    items.push_back({code, const_cast<char*>(reason(static_cast<Errc>(code)))});
  }
  items.push_back({0, nullptr});
  return items;
}

}  // namespace

Provider::Provider(const ossl::Core& core, Assembly assembly, Digests digests)
    : core_(core),
      assembly_(std::move(assembly)),
      digests_(std::move(digests)),
      algorithms_(core.host_is(3, 4), assembly_.settings.assume_fips),
      reasons_(reason_strings()) {}

Result<std::unique_ptr<Provider>> Provider::create(const ossl::Core& core, Assembly assembly) {
  auto digests = VHSM_TRY(Digests::fetch());
  return std::unique_ptr<Provider>(new Provider(core, std::move(assembly), std::move(digests)));
}

const OSSL_PARAM* Provider::gettable_params() noexcept { return kGettable; }

Status Provider::get_params(OSSL_PARAM params[]) const {
  VHSM_TRY(answer_text(params, OSSL_PROV_PARAM_NAME, "vhsm"));
  VHSM_TRY(answer_text(params, OSSL_PROV_PARAM_VERSION, VHSM_VERSION));
  VHSM_TRY(answer_text(params, OSSL_PROV_PARAM_BUILDINFO, assembly_.build_info.c_str()));
  VHSM_TRY(answer_memory(params));
  if (assembly_.metrics != nullptr) {
    VHSM_TRY(answer_number(params, kFetches, assembly_.metrics->fetches));
    VHSM_TRY(answer_number(params, kReports, assembly_.metrics->reports));
    VHSM_TRY(answer_number(params, kOperations, assembly_.metrics->operations));
  }
  OSSL_PARAM* status = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
  if (status != nullptr && OSSL_PARAM_set_int(status, memory::usable() ? 1 : 0) != 1) {
    return fail(Errc::kInvalidArgument, "parameter is not an integer", OSSL_PROV_PARAM_STATUS);
  }
  return {};
}

}  // namespace vhsm::provider
