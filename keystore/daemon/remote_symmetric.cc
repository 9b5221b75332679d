// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/remote_symmetric.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace vhsm::keystore {
namespace {

constexpr std::size_t kBlockBytes = 16;  // of AES
constexpr std::size_t kWrapGrowth = 8;
constexpr std::size_t kTagBytes = 16;
/// Asked for at once: half of what an answer can hold.
constexpr std::size_t kPieceBytes = kMaxOutputBytes / 2;
/// What has to be sent as a whole at the end, with room for the rest of the message.
constexpr std::size_t kMaxKeptBytes = kMaxMessageBytes - (std::size_t{1} << 20);

void append(std::vector<std::uint8_t>& to, ByteView bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

Message copy_of(const Message& message) {
  Message copy(message.bytes().size());
  std::ranges::copy(message.bytes(), copy.bytes().begin());
  return copy;
}

/// The counter block `blocks` after `first`: a big-endian number of 128 bits.
std::vector<std::uint8_t> counter_after(std::vector<std::uint8_t> first, std::size_t blocks) {
  for (std::size_t i = first.size(); i > 0 && blocks > 0; --i) {
    blocks += first[i - 1];
    first[i - 1] = static_cast<std::uint8_t>(blocks & 0xffU);
    blocks >>= 8U;
  }
  return first;
}

}  // namespace

Result<std::unique_ptr<SymmetricOperation>> RemoteSymmetricOperation::create(
    const SymmetricAlgorithm& algorithm, std::shared_ptr<RemoteContext> context) {
  auto shadow = VHSM_TRY(make_local_operation(algorithm));
  return std::unique_ptr<SymmetricOperation>(
      std::make_unique<RemoteSymmetricOperation>(algorithm, std::move(shadow), std::move(context)));
}

/// Ephemeral keys are in this process, and so is work on them; without a key the shadow knows what
/// to say.
bool RemoteSymmetricOperation::is_here() const noexcept {
  return state_.key == nullptr || state_.key->here();
}

// ----- settings ---------------------------------------------------------------------------------

Status RemoteSymmetricOperation::set_params(const OSSL_PARAM params[]) {
  if (params == nullptr || params->key == nullptr) return {};
  VHSM_TRY(state_.shadow->set_params(params));
  return state_.params.add(params);
}

/// What depends on the key.
bool RemoteSymmetricOperation::answer(OSSL_PARAM& param) const {
  const std::string_view name(param.key);
  const bool tag = name == OSSL_CIPHER_PARAM_AEAD_TAG && state_.forwards;
  const bool chain = name == OSSL_CIPHER_PARAM_UPDATED_IV && algorithm_.mode == CipherMode::kCbc;
  if (!tag && !chain) return false;
  const Bytes& value = tag ? state_.tag : state_.chain;
  // A shorter tag is the beginning of the whole one.
  const std::size_t size = tag ? std::min(param.data_size, value.size()) : value.size();
  return OSSL_PARAM_set_octet_string(&param, value.data(), size) == 1 && size > 0;
}

Status RemoteSymmetricOperation::get_params(OSSL_PARAM params[]) const {
  if (is_here()) return state_.shadow->get_params(params);
  for (OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    if (answer(*p)) continue;
    if (std::string_view(p->key) == OSSL_CIPHER_PARAM_AEAD_TAG) {
      return fail(Errc::kWrongState, "there is no tag before the end of an encryption");
    }
    OSSL_PARAM one[] = {*p, OSSL_PARAM_construct_end()};
    VHSM_TRY(state_.shadow->get_params(one));
    p->return_size = one[0].return_size;
  }
  return {};
}

bool RemoteSymmetricOperation::pads() const {
  unsigned padding = 1;
  OSSL_PARAM params[] = {OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &padding),
                         OSSL_PARAM_construct_end()};
  return state_.shadow->get_params(params).ok() && padding != 0;
}

Status RemoteSymmetricOperation::start(const SymmetricStart& start) {
  if (start.key != nullptr) state_.key = start.key;
  if (!start.iv.empty()) state_.iv.assign(start.iv.begin(), start.iv.end());
  SymmetricStart shadows = start;
  if (start.key != nullptr && !start.key->here()) {
    shadows.key = VHSM_TRY(SymmetricKey::generate(start.key->size()));
  }
  const Status started = state_.shadow->start(shadows);
  if (!started.ok()) return is_here() ? started : state_.key->named(started.error());
  state_.forwards = start.forwards;
  state_.chain = state_.iv;
  state_.associated.clear();
  state_.text = Message();
  state_.held = Message();
  state_.done = 0;
  state_.tag.clear();
  return {};
}

// ----- questions --------------------------------------------------------------------------------

Result<Message> RemoteSymmetricOperation::ask(const SymmetricStep& step, ByteView in,
                                              std::size_t capacity) const {
  Request request{.ask = Ask::kUseSecret,
                  .name = state_.key->uri()->name.path(),
                  .version = state_.key->uri()->version.value_or(0),
                  .public_key = state_.key->fingerprint(),
                  .params = state_.params,
                  .input = in,
                  .capacity = capacity,
                  .step = step};
  unsigned none = 0;
  const OSSL_PARAM unpadded[] = {OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &none),
                                 OSSL_PARAM_construct_end()};
  // In the middle of the text a last block is not the last.
  if (algorithm_.mode == CipherMode::kCbc && !step.last) VHSM_TRY(request.params.add(unpadded));
  Reply reply = VHSM_TRY(context_->channel.ask(request, context_->patience));
  if (reply.output.bytes().size() > capacity) {
    return fail(Errc::kBadLength, "vhsmd answers too much");
  }
  return std::move(reply.output);
}

/// Where the next piece of output begins.
SymmetricStep RemoteSymmetricOperation::position() const {
  SymmetricStep step{.algorithm = algorithm_.name, .forwards = state_.forwards};
  step.iv = algorithm_.mode == CipherMode::kCbc ? state_.chain : state_.iv;
  step.associated = state_.associated;
  if (algorithm_.mode == CipherMode::kGcm) step.skip = state_.done;
  return step;
}

Status RemoteSymmetricOperation::keep(ByteView in) {
  if (in.size() > kMaxKeptBytes - state_.text.bytes().size()) {
    return state_.key->named(
        fail(Errc::kUnsupported, "vhsmd takes data of up to 63 MiB for this algorithm"));
  }
  state_.text.append(in);
  return {};
}

Result<std::size_t> RemoteSymmetricOperation::update(ByteView in, std::span<std::uint8_t> out) {
  if (is_here()) return state_.shadow->update(in, out);
  if (algorithm_.mode == CipherMode::kWrap) return wrap(in, out);
  if (algorithm_.kind == SymmetricKind::kCipher) return update_cipher(in, out);
  if (algorithm_.kind == SymmetricKind::kKdf) return state_.shadow->update(in, out);
  VHSM_TRY(keep(in));
  return 0;
}

Result<std::size_t> RemoteSymmetricOperation::wrap(ByteView in, std::span<std::uint8_t> out) {
  const std::size_t size =
      state_.forwards ? in.size() + kWrapGrowth : in.size() - std::min(in.size(), kWrapGrowth);
  if (in.empty() || out.data() == nullptr) return in.empty() ? 0 : size;
  if (out.size() < size) return fail(Errc::kBadLength, "there is no room for the output");
  const Message output = VHSM_TRY(ask(position(), in, in.size() + kWrapGrowth));
  if (output.bytes().size() > out.size()) {
    return fail(Errc::kBadLength, "there is no room for the output");
  }
  std::ranges::copy(output.bytes(), out.begin());
  return output.bytes().size();
}

Result<std::size_t> RemoteSymmetricOperation::update_cipher(ByteView in,
                                                            std::span<std::uint8_t> out) {
  const bool associated = out.data() == nullptr;
  Message scratch(associated ? 0 : in.size() + kBlockBytes);
  const std::size_t size =
      VHSM_TRY(state_.shadow->update(in, associated ? out : std::span(scratch.bytes())));
  if (associated) {
    append(state_.associated, in);
    return size;
  }
  if (size > out.size()) return fail(Errc::kBadLength, "there is no room for the output");
  if (algorithm_.mode == CipherMode::kGcm) VHSM_TRY(keep(in));
  // A copy: the output may go where the input is.
  Message text = std::exchange(state_.held, Message());
  text.append(in);
  const ByteView ready = ByteView(text.bytes()).first(size);
  state_.held.append(ByteView(text.bytes()).subspan(size));
  return transform(ready, out);
}

/// As much output as there is input, in pieces.
Result<std::size_t> RemoteSymmetricOperation::transform(ByteView in, std::span<std::uint8_t> out) {
  std::size_t written = 0;
  while (written < in.size()) {
    const ByteView piece = in.subspan(written, std::min(in.size() - written, kPieceBytes));
    SymmetricStep step = position();
    const Bytes counter = counter_after(state_.iv, state_.done / kBlockBytes);
    if (algorithm_.mode == CipherMode::kCtr) {
      step.iv = counter;
      step.skip = state_.done % kBlockBytes;
    }
    const Message output = VHSM_TRY(ask(step, piece, piece.size() + kBlockBytes));
    if (output.bytes().size() != piece.size()) {
      return fail(Errc::kBadLength, "vhsmd answers with another length");
    }
    std::ranges::copy(output.bytes(), out.begin() + static_cast<std::ptrdiff_t>(written));
    if (algorithm_.mode == CipherMode::kCbc) {
      const ByteView sealed = state_.forwards ? ByteView(output.bytes()) : piece;
      const ByteView last = sealed.last(kBlockBytes);
      state_.chain.assign(last.begin(), last.end());
    }
    state_.done += piece.size();
    written += piece.size();
  }
  return written;
}

// ----- the end ----------------------------------------------------------------------------------

Result<std::size_t> RemoteSymmetricOperation::ask_for_end(ByteView in,
                                                          std::span<std::uint8_t> out) {
  SymmetricStep step = position();
  step.last = true;
  step.skip = 0;
  const Message output = VHSM_TRY(ask(step, in, out.size()));
  std::ranges::copy(output.bytes(), out.begin());
  return output.bytes().size();
}

/// The tag is about the whole text, so all of it is sent.
Status RemoteSymmetricOperation::finish_gcm() {
  // So that the shadow, too, wants another IV.
  static_cast<void>(state_.shadow->finish({}));
  Bytes tag(state_.forwards ? kTagBytes : 0);
  [[maybe_unused]] const std::size_t size = VHSM_TRY(ask_for_end(state_.text.bytes(), tag));
  state_.tag = std::move(tag);
  return {};
}

Result<std::size_t> RemoteSymmetricOperation::finish_cipher(std::span<std::uint8_t> out) {
  if (algorithm_.mode == CipherMode::kGcm) {
    VHSM_TRY(finish_gcm());
    return 0;
  }
  if (algorithm_.mode != CipherMode::kCbc) return 0;
  if (pads()) return ask_for_end(state_.held.bytes(), out);
  if (state_.held.bytes().empty()) return 0;
  return fail(Errc::kBadLength, "without padding the data must be whole blocks");
}

Result<std::size_t> RemoteSymmetricOperation::finish(std::span<std::uint8_t> out) {
  if (is_here()) return state_.shadow->finish(out);
  const auto size = algorithm_.kind == SymmetricKind::kCipher
                        ? finish_cipher(out)
                        : ask_for_end(state_.text.bytes(), out);
  if (!size.ok()) return size;
  if (algorithm_.kind == SymmetricKind::kKdf && size.value() != out.size()) {
    return fail(Errc::kBadLength, "vhsmd answers with another length");
  }
  context_->metrics->operations.fetch_add(1, std::memory_order_relaxed);
  return size;
}

Result<std::unique_ptr<SymmetricOperation>> RemoteSymmetricOperation::clone() const {
  auto shadow = VHSM_TRY(state_.shadow->clone());
  auto copy = std::make_unique<RemoteSymmetricOperation>(algorithm_, std::move(shadow), context_);
  State& other = copy->state_;
  other.params = state_.params;
  other.key = state_.key;
  other.forwards = state_.forwards;
  other.iv = state_.iv;
  other.chain = state_.chain;
  other.associated = state_.associated;
  other.text = copy_of(state_.text);
  other.held = copy_of(state_.held);
  other.done = state_.done;
  other.tag = state_.tag;
  return std::unique_ptr<SymmetricOperation>(std::move(copy));
}

}  // namespace vhsm::keystore
