// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/remote_operation.h"

#include <algorithm>
#include <utility>

namespace vhsm::keystore {
namespace {

constexpr std::size_t kRoomForTheRest = std::size_t{512} << 10;  // of a message

}  // namespace

/// The shadow judges them first, so what is sent is what the algorithm takes.
Status RemoteOperation::set_params(const OSSL_PARAM params[]) {
  if (params == nullptr || params->key == nullptr) return {};
  VHSM_TRY(shadow_->set_params(params));
  return params_.add(params);
}

Status RemoteOperation::remember_peer(const Key& peer) {
  peer_ = VHSM_TRY(peer.public_key_info());
  return {};
}

Status RemoteOperation::set_peer(const Key& peer) {
  VHSM_TRY(shadow_->set_peer(peer));
  return remember_peer(peer);
}

Result<std::size_t> RemoteOperation::bound(std::span<const std::uint8_t> in) const {
  if (signs(kind_)) return key_->public_half().room_for_signature({});
  if (kind_ != OperationKind::kDecapsulate) return shadow_->run(in, {});
  const Encapsulated size = VHSM_TRY(shadow_->encapsulate({}, {}));
  return size.secret_bytes;
}

Result<Reply> RemoteOperation::ask(std::span<const std::uint8_t> in, std::size_t capacity) const {
  if (in.size() > kMaxMessageBytes - kRoomForTheRest) {
    return fail(Errc::kUnsupported, "vhsmd takes messages of up to 63 MiB",
                key_->uri()->name.uri());
  }
  const Request request{.ask = Ask::kOperate,
                        .name = key_->uri()->name.path(),
                        .version = key_->uri()->version.value_or(0),
                        .public_key = key_->public_key_info(),
                        .kind = kind_,
                        .digest = digest_,
                        .params = params_,
                        .peer = peer_,
                        .input = in,
                        .capacity = std::min(capacity, kMaxOutputBytes)};
  RemoteContext& context = key_->context();
  context.metrics->operations.fetch_add(1, std::memory_order_relaxed);
  Reply reply = VHSM_TRY(context.channel.ask(request, context.patience));
  if (reply.output.bytes().size() > capacity) {
    return fail(Errc::kBadLength, "vhsmd answers too much");
  }
  return reply;
}

Result<std::size_t> RemoteOperation::run(std::span<const std::uint8_t> in,
                                         std::span<std::uint8_t> out) {
  if (out.data() == nullptr) return bound(in);
  if (signs(kind_)) {
    [[maybe_unused]] const std::size_t longest =
        VHSM_TRY(key_->public_half().room_for_signature(out));
  }
  const Reply reply = VHSM_TRY(ask(in, out.size()));
  std::ranges::copy(reply.output.bytes(), out.begin());
  return reply.output.bytes().size();
}

Result<Encapsulated> RemoteOperation::encapsulate(std::span<std::uint8_t> wrapped,
                                                  std::span<std::uint8_t> secret) {
  if (kind_ != OperationKind::kAuthEncapsulate) {
    return fail(Errc::kWrongState, "the operation was not begun as an encapsulation");
  }
  const Encapsulated size = VHSM_TRY(shadow_->encapsulate({}, {}));
  if (wrapped.data() == nullptr) return size;
  if (wrapped.size() < size.wrapped_bytes || secret.size() < size.secret_bytes) {
    return fail(Errc::kBadLength, "there is no room for the shared secret and its ciphertext");
  }
  const std::size_t both = size.wrapped_bytes + size.secret_bytes;
  const Reply reply = VHSM_TRY(ask({}, both));
  const std::span<const std::uint8_t> output = reply.output.bytes();
  if (output.size() != both) return fail(Errc::kBadLength, "vhsmd answers too little");
  std::ranges::copy(output.first(size.wrapped_bytes), wrapped.begin());
  std::ranges::copy(output.subspan(size.wrapped_bytes), secret.begin());
  return size;
}

Result<bool> RemoteOperation::verify(std::span<const std::uint8_t> /*in*/,
                                     std::span<const std::uint8_t> /*signature*/) {
  return fail(Errc::kWrongState, "the operation was not begun as a verification");
}

Result<std::unique_ptr<Operation>> RemoteOperation::clone() const {
  auto shadow = VHSM_TRY(shadow_->clone());
  auto copy = std::make_unique<RemoteOperation>(key_, kind_, digest_, std::move(shadow));
  copy->params_ = params_;
  copy->peer_ = peer_;
  return std::unique_ptr<Operation>(std::move(copy));
}

}  // namespace vhsm::keystore
