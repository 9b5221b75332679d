// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed_stream.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "keystore/hot_set.h"

namespace vhsm::keystore {
namespace {

constexpr std::string_view kMagic = "VHSMFILE";
constexpr std::uint32_t kForm = 1;
constexpr std::size_t kBoundBytes = kMagic.size() + 2 * sizeof(std::uint32_t);
constexpr std::size_t kSealedChunkBytes = kStreamChunkBytes + kStreamTagBytes;

using View = std::span<const std::uint8_t>;
using Room = std::span<std::uint8_t>;
using Tag = std::array<std::uint8_t, kStreamTagBytes>;
using Nonce = std::array<std::uint8_t, kStreamNonceBytes>;

void put_number(std::uint32_t number, Room into) noexcept {
  for (std::size_t i = 0; i < sizeof number; ++i) {
    into[i] = static_cast<std::uint8_t>(number >> (8 * (sizeof number - 1 - i)));
  }
}

std::uint32_t number_in(View bytes) noexcept {
  std::uint32_t number = 0;
  for (const std::uint8_t byte : bytes.first(sizeof number)) number = number << 8 | byte;
  return number;
}

/// What of the head is authenticated beside the wrapped key.
std::array<std::uint8_t, kBoundBytes> bound_part(const StreamHead& head) {
  std::array<std::uint8_t, kBoundBytes> bytes{};
  std::ranges::copy(kMagic, bytes.begin());
  put_number(kForm, Room(bytes).subspan(kMagic.size()));
  put_number(head.key_version, Room(bytes).subspan(kMagic.size() + sizeof kForm));
  return bytes;
}

/// Of a chunk: its number, and whether it is the last one. The key serves for this file alone.
Nonce chunk_nonce(std::uint32_t number, bool last) {
  Nonce nonce{};
  put_number(number, Room(nonce).subspan(kStreamNonceBytes - 1 - sizeof number));
  nonce.back() = last ? 1 : 0;
  return nonce;
}

// ----- AES-256-GCM, at once ----------------------------------------------------------------------

Status feed_bound(SymmetricOperation& gcm, View bound) {
  if (bound.empty()) return {};
  [[maybe_unused]] const std::size_t size = VHSM_TRY(gcm.update(bound, {}));
  return {};
}

/// @param sealed  gets ciphertext and tag: plain.size() and kStreamTagBytes.
Status seal(SymmetricOperation& gcm, const SymmetricKeyPtr& key, const Nonce& nonce, View bound,
            View plain, Room sealed) {
  VHSM_TRY(gcm.start({.key = key, .forwards = true, .iv = nonce}));
  VHSM_TRY(feed_bound(gcm, bound));
  if (!plain.empty()) {
    [[maybe_unused]] const std::size_t size =
        VHSM_TRY(gcm.update(plain, sealed.first(plain.size())));
  }
  [[maybe_unused]] const std::size_t rest = VHSM_TRY(gcm.finish({}));
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, sealed.data() + plain.size(),
                                        kStreamTagBytes),
      OSSL_PARAM_construct_end()};
  return gcm.get_params(params);
}

/// @param plain  what it gets counts only on success.
Status open(SymmetricOperation& gcm, const SymmetricKeyPtr& key, const Nonce& nonce, View bound,
            View sealed, Room plain) {
  const View text = sealed.first(sealed.size() - kStreamTagBytes);
  Tag tag{};
  std::ranges::copy(sealed.last(kStreamTagBytes), tag.begin());
  VHSM_TRY(gcm.start({.key = key, .forwards = false, .iv = nonce}));
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag.data(), tag.size()),
      OSSL_PARAM_construct_end()};
  VHSM_TRY(gcm.set_params(params));
  VHSM_TRY(feed_bound(gcm, bound));
  if (!text.empty()) {
    [[maybe_unused]] const std::size_t size = VHSM_TRY(gcm.update(text, plain));
  }
  const auto finished = gcm.finish({});
  return finished.ok() ? Status() : Status(finished.error());
}

/// Of the tag; other errors are trouble of this process, or of whoever has the key.
bool is_mismatch(const Status& opened) noexcept { return opened.error().code == Errc::kCrypto; }

constexpr char kFileCure[] = "get the file anew, from a backup of it";

// ----- the file's own key ------------------------------------------------------------------------

Result<SymmetricKeyPtr> wrapping_key(Keystore& keystore, const KeyUri& uri) {
  const Entry entry = VHSM_TRY(keystore.open({uri.name, ObjectType::kSecret, uri.version}));
  auto key = VHSM_TRY(symmetric_in(entry, uri.name));
  if (key->size() == kStreamKeyBytes) return key;
  return fail(Errc::kBadLength, "files are encrypted under a symmetric key of 256 bits",
              uri.name.uri());
}

Result<SymmetricKeyPtr> hold(SecretBytes bytes) {
  SecretMaterial material;
  material.key = std::move(bytes);
  return SymmetricKey::hold(material, std::nullopt);
}

Result<SecretBytes> draw(StreamHead& head) {
  return run_with_room([&]() -> Result<SecretBytes> {
    auto key = VHSM_TRY(SecretBytes::zeros(kStreamKeyBytes));
    VHSM_TRY(crypto(RAND_priv_bytes(key.expose().data(), kStreamKeyBytes), "no random key"));
    VHSM_TRY(crypto(RAND_bytes(head.nonce.data(), kStreamNonceBytes), "no random nonce"));
    return key;
  });
}

Result<SymmetricKeyPtr> new_file_key(Keystore& keystore, const SymmetricKeyPtr& wrapping,
                                     StreamHead& head) {
  auto key = VHSM_TRY(draw(head));
  const auto gcm = VHSM_TRY(keystore.make_operation(kAes256Gcm));
  VHSM_TRY(seal(*gcm, wrapping, head.nonce, bound_part(head), key.expose(), head.wrapped));
  return hold(std::move(key));
}

Result<SymmetricKeyPtr> file_key(Keystore& keystore, const SymmetricKeyPtr& wrapping,
                                 const StreamHead& head) {
  auto key = VHSM_TRY(SecretBytes::zeros(kStreamKeyBytes));
  const auto gcm = VHSM_TRY(keystore.make_operation(kAes256Gcm));
  const Status opened =
      open(*gcm, wrapping, head.nonce, bound_part(head), head.wrapped, key.expose());
  if (opened.ok()) return hold(std::move(key));
  if (!is_mismatch(opened)) return opened.error();
  return wrapping->named(fail(Errc::kTampered,
                              "the file is not encrypted under this key, or its "
                              "beginning was changed")
                             .cured_by(kFileCure));
}

// ----- chunks ------------------------------------------------------------------------------------

/// Numbers chunks, and gives each to `work` with whether it is the last: one is read ahead.
/// @param next, after  of the size of a chunk.
template <class Work>
Status each_chunk(const Source& source, Room next, Room after, Work&& work) {
  std::size_t size = VHSM_TRY(source(next));
  for (std::uint32_t number = 0;; ++number) {
    std::size_t ahead = 0;  // a chunk that is not full was the last
    if (size == next.size()) ahead = VHSM_TRY(source(after));
    const bool last = ahead == 0;
    VHSM_TRY(work(number, last, next.first(size)));
    if (last) return {};
    if (number == std::numeric_limits<std::uint32_t>::max()) {
      return fail(Errc::kBadLength, "a file has 256 TiB at most");
    }
    std::swap(next, after);
    size = ahead;
  }
}

Error cut_off() {
  return fail(Errc::kTampered,
              "the file was changed or cut off: what has come out so far is its "
              "beginning, and no more is")
      .cured_by(kFileCure);
}

Result<StreamHead> read_head(const Source& source) {
  std::array<std::uint8_t, StreamHead::kBytes> bytes{};
  const std::size_t size = VHSM_TRY(source(bytes));
  return parse_stream_head(View(bytes).first(size));
}

}  // namespace

std::array<std::uint8_t, StreamHead::kBytes> to_bytes(const StreamHead& head) {
  std::array<std::uint8_t, StreamHead::kBytes> bytes{};
  auto end = std::ranges::copy(bound_part(head), bytes.begin()).out;
  end = std::ranges::copy(head.nonce, end).out;
  std::ranges::copy(head.wrapped, end);
  return bytes;
}

Result<StreamHead> parse_stream_head(std::span<const std::uint8_t> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.size() != StreamHead::kBytes || !text.starts_with(kMagic)) {
    return fail(Errc::kBadFormat, "this is no file that vhsm has encrypted");
  }
  bytes = bytes.subspan(kMagic.size());
  if (number_in(bytes) != kForm) {
    return fail(Errc::kUnsupported, "a later vhsm has encrypted this file");
  }
  StreamHead head;
  head.key_version = number_in(bytes.subspan(sizeof kForm));
  bytes = bytes.subspan(sizeof kForm + sizeof head.key_version);
  std::ranges::copy(bytes.first(kStreamNonceBytes), head.nonce.begin());
  std::ranges::copy(bytes.subspan(kStreamNonceBytes), head.wrapped.begin());
  return head;
}

Status encrypt_stream(Keystore& keystore, const KeyUri& uri, const Source& source,
                      const Sink& sink) {
  const auto wrapping = VHSM_TRY(wrapping_key(keystore, uri));
  StreamHead head;
  if (wrapping->uri() != nullptr) head.key_version = wrapping->uri()->version.value_or(0);
  const auto key = VHSM_TRY(new_file_key(keystore, wrapping, head));
  VHSM_TRY(sink(to_bytes(head)));
  const auto gcm = VHSM_TRY(make_local_operation(kAes256Gcm));
  auto next = VHSM_TRY(SecretBytes::zeros(kStreamChunkBytes));
  auto after = VHSM_TRY(SecretBytes::zeros(kStreamChunkBytes));
  std::vector<std::uint8_t> sealed(kSealedChunkBytes);
  return each_chunk(source, next.expose(), after.expose(),
                    [&](std::uint32_t number, bool last, View plain) -> Status {
                      const Room out = Room(sealed).first(plain.size() + kStreamTagBytes);
                      VHSM_TRY(seal(*gcm, key, chunk_nonce(number, last), {}, plain, out));
                      return sink(out);
                    });
}

Status decrypt_stream(Keystore& keystore, const KeyUri& uri, const Source& source,
                      const Sink& sink) {
  const StreamHead head = VHSM_TRY(read_head(source));
  KeyUri versioned = uri;
  if (!uri.version.has_value() && head.key_version != 0) versioned.version = head.key_version;
  const auto wrapping = VHSM_TRY(wrapping_key(keystore, versioned));
  const auto key = VHSM_TRY(file_key(keystore, wrapping, head));
  const auto gcm = VHSM_TRY(make_local_operation(kAes256Gcm));
  std::vector<std::uint8_t> next(kSealedChunkBytes);
  std::vector<std::uint8_t> after(kSealedChunkBytes);
  auto plain = VHSM_TRY(SecretBytes::zeros(kStreamChunkBytes));
  return each_chunk(
      source, next, after, [&](std::uint32_t number, bool last, View sealed) -> Status {
        if (sealed.size() < kStreamTagBytes) return cut_off();
        const Room out = plain.expose().first(sealed.size() - kStreamTagBytes);
        const Status opened = open(*gcm, key, chunk_nonce(number, last), {}, sealed, out);
        if (opened.ok()) return sink(out);
        return is_mismatch(opened) ? cut_off() : opened.error();
      });
}

}  // namespace vhsm::keystore
