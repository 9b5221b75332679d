// SPDX-License-Identifier: Apache-2.0
#include "snp/sealing.h"

#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <string>

#include "base/handle.h"
#include "memory/protected_memory.h"
#include "snp/little_endian.h"

namespace vhsm::snp {
namespace {

constexpr std::uint8_t kForm = 1;
constexpr std::size_t kNumbersBytes = 8;  // form, selection, VMPL, zero, GUEST_SVN

/// The byte arrays of a binding, in the order in which they are written.
template <class Binding>
auto arrays_of(Binding& binding) {
  return std::array{std::span(binding.tcb.data(), binding.tcb.size()),
                    std::span(binding.salt.data(), binding.salt.size()),
                    std::span(binding.policy.data(), binding.policy.size()),
                    std::span(binding.host_data.data(), binding.host_data.size()),
                    std::span(binding.chip_id.data(), binding.chip_id.size()),
                    std::span(binding.measurement.data(), binding.measurement.size()),
                    std::span(binding.family_id.data(), binding.family_id.size()),
                    std::span(binding.image_id.data(), binding.image_id.size())};
}

std::size_t bytes_of_form() {
  std::size_t total = kNumbersBytes;
  const SealingBinding binding;
  for (const auto& part : arrays_of(binding)) total += part.size();
  return total;
}

template <Field F, std::size_t N>
void take(const UnverifiedReport& report, std::array<std::uint8_t, N>& into) {
  static_assert(F.size == N);
  std::ranges::copy(report.bytes<F>(), into.begin());
}

/// What this machine and guest are, in the terms of a binding.
SealingBinding describe(const UnverifiedReport& report) {
  SealingBinding now;
  now.vmpl = static_cast<std::uint8_t>(report.number<field::kVmpl>());
  now.guest_svn = static_cast<std::uint32_t>(report.number<field::kGuestSvn>());
  take<field::kCommittedTcb>(report, now.tcb);
  take<field::kPolicy>(report, now.policy);
  take<field::kHostData>(report, now.host_data);
  take<field::kChipId>(report, now.chip_id);
  take<field::kMeasurement>(report, now.measurement);
  take<field::kFamilyId>(report, now.family_id);
  take<field::kImageId>(report, now.image_id);
  return now;
}

/// TCBs are compared byte by byte: each byte is a part's version, or zero, in all products'
/// layouts.
bool is_at_least(const TcbBytes& tcb, const TcbBytes& floor) {
  return std::ranges::equal(tcb, floor, std::greater_equal<>());
}

bool same_image(const SealingBinding& then, const SealingBinding& now) {
  return then.family_id == now.family_id && then.image_id == now.image_id;
}

/// Why a key cannot be derived again. The first that is broken counts.
struct Condition {
  bool (*holds)(const SealingBinding& then, const SealingBinding& now);
  const char* what;
  Literal broken;
};
using Ref = const SealingBinding&;
constexpr std::array<Condition, 8> kConditions{{
    {[](Ref then, Ref now) { return then.chip_id == now.chip_id; }, "chip",
     "this was sealed on another chip"},
    {[](Ref then, Ref now) { return then.vmpl == now.vmpl; }, "VMPL",
     "this was sealed at another VMPL"},
    {[](Ref then, Ref now) { return then.policy == now.policy; }, "policy",
     "this was sealed by a guest with another policy"},
    {[](Ref then, Ref now) { return then.host_data == now.host_data; }, "HOST_DATA",
     "this was sealed by a guest that was launched with other HOST_DATA (init-data)"},
    {[](Ref then, Ref now) {
       return then.selection != SealTo::kMeasurement || then.measurement == now.measurement;
     },
     "measurement", "this was sealed by a guest with another measurement"},
    {[](Ref then, Ref now) { return then.selection != SealTo::kImage || same_image(then, now); },
     "image", "this was sealed by another image (FAMILY_ID, IMAGE_ID)"},
    {[](Ref then, Ref now) {
       return then.selection != SealTo::kImage || then.guest_svn <= now.guest_svn;
     },
     "GUEST_SVN", "this was sealed by a later version of the image"},
    {[](Ref then, Ref now) { return is_at_least(now.tcb, then.tcb); }, "TCB",
     "this was sealed with newer firmware: that of this machine has been rolled back"},
}};

DerivedKeyRequest request_for(const SealingBinding& binding) {
  const bool image = binding.selection == SealTo::kImage;
  constexpr std::uint64_t kAlways = derived_key_field::kPolicy | derived_key_field::kTcbVersion;
  DerivedKeyRequest request;
  request.field_selection =
      kAlways | (image ? derived_key_field::kFamilyId | derived_key_field::kImageId |
                             derived_key_field::kGuestSvn
                       : derived_key_field::kMeasurement);
  request.guest_svn = image ? binding.guest_svn : 0;
  request.tcb_version = binding.tcb;
  return request;
}

bool is_same(const DerivedKeyRequest& one, const DerivedKeyRequest& other) {
  return one.field_selection == other.field_selection && one.guest_svn == other.guest_svn &&
         one.tcb_version == other.tcb_version;
}

OSSL_PARAM octets(const char* name, std::span<const std::uint8_t> bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()),
                                           bytes.size());
}

/// In a scope.
Result<SecretBytes> expand(const SecretBytes& key, std::span<const std::uint8_t> salt,
                           std::string_view label) {
  const auto kdf = VHSM_TRY(made(ossl::Kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr)), "no HKDF"));
  const auto ctx = VHSM_TRY(made(ossl::KdfCtx(EVP_KDF_CTX_new(kdf.get())), "no HKDF"));
  char digest[] = "SHA256";
  const std::array parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, key.expose()), octets(OSSL_KDF_PARAM_SALT, salt),
      octets(OSSL_KDF_PARAM_INFO,
             {reinterpret_cast<const std::uint8_t*>(label.data()), label.size()}),
      OSSL_PARAM_construct_end()};
  auto expanded = VHSM_TRY(SecretBytes::zeros(SealingKeys::kKeyBytes));
  VHSM_TRY(crypto(
      EVP_KDF_derive(ctx.get(), expanded.expose().data(), expanded.size(), parameters.data()),
      "HKDF failed"));
  return expanded;
}

}  // namespace

std::vector<std::uint8_t> to_bytes(const SealingBinding& binding) {
  std::vector<std::uint8_t> bytes(kNumbersBytes);
  bytes[0] = kForm;
  bytes[1] = static_cast<std::uint8_t>(binding.selection);
  bytes[2] = binding.vmpl;
  write_number(std::span(bytes).subspan(4, 4), binding.guest_svn);
  for (const auto& part : arrays_of(binding)) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

Result<SealingBinding> binding_from_bytes(std::span<const std::uint8_t> bytes) {
  if (!bytes.empty() && bytes[0] > kForm) {
    return fail(Errc::kUnsupported, "a newer vhsm has sealed this");
  }
  const bool fits = bytes.size() == bytes_of_form() && bytes[0] == kForm &&
                    bytes[1] <= static_cast<std::uint8_t>(SealTo::kImage) && bytes[2] <= kMaxVmpl &&
                    bytes[3] == 0;
  if (!fits) return fail(Errc::kBadFormat, "these are not the terms of a sealing key");
  SealingBinding binding;
  binding.selection = static_cast<SealTo>(bytes[1]);
  binding.vmpl = bytes[2];
  binding.guest_svn = read_u32(bytes.subspan(4));
  auto rest = bytes.subspan(kNumbersBytes);
  for (const auto& part : arrays_of(binding)) {
    std::ranges::copy(rest.first(part.size()), part.begin());
    rest = rest.subspan(part.size());
  }
  return binding;
}

Result<SealingKeys> SealingKeys::open(std::shared_ptr<Platform> platform, TimePoint deadline) {
  const Evidence evidence = VHSM_TRY(platform->attest({}, deadline));
  return SealingKeys(std::move(platform), UnverifiedReport(evidence.report));
}

Result<SealingBinding> SealingKeys::binding(SealTo selection) const {
  SealingBinding now = describe(report_);
  now.selection = selection;
  const auto got = ::getrandom(now.salt.data(), now.salt.size(), 0);
  if (got != static_cast<ssize_t>(now.salt.size())) {
    return fail(Errc::kPlatform, "the kernel has no random bytes");
  }
  return now;
}

Status SealingKeys::check(const SealingBinding& binding) const {
  const SealingBinding now = describe(report_);
  for (const Condition& condition : kConditions) {
    if (!condition.holds(binding, now)) {
      return fail(Errc::kPlatform, condition.broken, condition.what);
    }
  }
  return {};
}

/// Not under the lock: the firmware may take a minute, and a fork must not find the lock taken. Two
/// threads that ask at once get the same key.
Status SealingKeys::obtain(const DerivedKeyRequest& request, TimePoint deadline) {
  const auto is_wanted = [&](const Derived& one) { return is_same(one.request, request); };
  if (std::ranges::any_of(*cache_->lock(), is_wanted)) return {};
  auto key = VHSM_TRY(platform_->derive_key(request, deadline));
  cache_->lock()->push_back({request, std::move(key)});
  return {};
}

Result<SecretBytes> SealingKeys::sealing_key(const SealingBinding& binding, std::string_view label,
                                             TimePoint deadline) {
  VHSM_TRY(check(binding));
  const DerivedKeyRequest request = request_for(binding);
  VHSM_TRY(obtain(request, deadline));
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const auto cache = cache_->lock();
    const auto found = std::ranges::find_if(
        *cache, [&](const Derived& one) { return is_same(one.request, request); });
    return expand(found->key, binding.salt, label);
  });
}

}  // namespace vhsm::snp
