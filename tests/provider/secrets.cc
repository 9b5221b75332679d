// SPDX-License-Identifier: Apache-2.0
#include "tests/provider/secrets.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

namespace vhsm::test {
namespace {

constexpr const char* kUriParam = "vhsm-uri";

std::string name_for(By by, const std::string& algorithm) {
  return by == By::kName ? "VHSM-" + algorithm : algorithm;
}
const char* properties_for(By by) { return by == By::kName ? kSymmetric : kDefault; }

bool is_gcm(const std::string& algorithm) { return algorithm.ends_with("GCM"); }

/// The key, by name or bytes, beside `params`.
Params with_key(By by, const Secret& secret, Params params, const char* raw_name) {
  if (by == By::kName) return params.text(kUriParam, secret.uri);
  if (raw_name != nullptr) return params.octets(raw_name, secret.bytes);
  return params;
}

/// Feeds `in` in steps.
bool feed(EVP_CIPHER_CTX* ctx, const CipherTask& task, const Bytes& in, Bytes& out) {
  const std::size_t step = task.step == 0 ? in.size() : task.step;
  out.assign(in.size() + 2 * EVP_MAX_BLOCK_LENGTH, 0);
  if (task.in_place) std::ranges::copy(in, out.begin());
  std::size_t written = 0;
  for (std::size_t at = 0; at < in.size(); at += step) {
    const int size = static_cast<int>(std::min(step, in.size() - at));
    const unsigned char* from = task.in_place ? out.data() + at : in.data() + at;
    int yielded = 0;
    if (EVP_CipherUpdate(ctx, out.data() + written, &yielded, from, size) != 1) return false;
    written += static_cast<std::size_t>(yielded);
  }
  int last = 0;
  if (EVP_CipherFinal_ex(ctx, out.data() + written, &last) != 1) return false;
  out.resize(written + static_cast<std::size_t>(last));
  return true;
}

}  // namespace

Bytes from_hex(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Bytes from_text(const std::string& text) { return {text.begin(), text.end()}; }

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  unsigned state = seed * 2654435761U + 1;
  for (auto& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>(state >> 24U);
  }
  return bytes;
}

std::string base64url(const Bytes& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  while (text.ends_with('=')) text.pop_back();
  return text;
}

Params& Params::add(const char* name, unsigned type, Bytes value, std::size_t size) {
  items_.push_back({name, type, std::move(value), size});
  return *this;
}

Params& Params::text(const char* name, const std::string& value) {
  Bytes bytes = from_text(value);
  bytes.push_back(0);
  return add(name, OSSL_PARAM_UTF8_STRING, std::move(bytes), value.size());
}

Params& Params::octets(const char* name, const Bytes& value) {
  return add(name, OSSL_PARAM_OCTET_STRING, value, value.size());
}

Params& Params::number(const char* name, std::size_t value) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return add(name, OSSL_PARAM_UNSIGNED_INTEGER, std::move(bytes), sizeof value);
}

std::vector<OSSL_PARAM> Params::array() const {
  std::vector<OSSL_PARAM> array;
  for (const Item& item : items_) {
    array.push_back({item.name, item.type, const_cast<std::uint8_t*>(item.value.data()), item.size,
                     OSSL_PARAM_UNMODIFIED});
  }
  array.push_back(OSSL_PARAM_construct_end());
  return array;
}

Secret store_secret(const KeyFolder& folder, const std::string& name, const Bytes& content,
                    const Bytes& bytes) {
  std::ofstream file(folder.path() + "/default/test/" + name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(content.data()),
             static_cast<std::streamsize>(content.size()));
  return {folder.uri(name), bytes};
}

MacCtx begin_mac(const Host& host, By by, const Secret& secret, const MacTask& task) {
  const ossl::Mac method(
      EVP_MAC_fetch(host.ctx(), name_for(by, task.algorithm).c_str(), properties_for(by)));
  if (method == nullptr) return nullptr;
  MacCtx ctx(EVP_MAC_CTX_new(method.get()));
  const Params params = with_key(by, secret, task.params, nullptr);
  const bool raw = by == By::kBytes;
  const bool begun = EVP_MAC_init(ctx.get(), raw ? secret.bytes.data() : nullptr,
                                  raw ? secret.bytes.size() : 0, params.array().data()) == 1;
  return begun ? std::move(ctx) : nullptr;
}

Bytes mac(const Host& host, By by, const Secret& secret, const MacTask& task,
          const Bytes& message) {
  const auto ctx = begin_mac(host, by, secret, task);
  if (ctx == nullptr) return {};
  const std::size_t step = task.step == 0 ? std::max<std::size_t>(message.size(), 1) : task.step;
  for (std::size_t at = 0; at < message.size(); at += step) {
    const std::size_t size = std::min(step, message.size() - at);
    if (EVP_MAC_update(ctx.get(), message.data() + at, size) != 1) return {};
  }
  std::size_t size = 0;
  if (EVP_MAC_final(ctx.get(), nullptr, &size, 0) != 1) return {};
  Bytes code(size);
  if (EVP_MAC_final(ctx.get(), code.data(), &size, code.size()) != 1) return {};
  code.resize(size);
  return code;
}

ossl::CipherCtx begin_cipher(const Host& host, By by, const Secret& secret, const CipherTask& task,
                             bool encrypts) {
  const ossl::Cipher method(
      EVP_CIPHER_fetch(host.ctx(), name_for(by, task.algorithm).c_str(), properties_for(by)));
  if (method == nullptr) return nullptr;
  ossl::CipherCtx ctx(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX_set_flags(ctx.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  const int direction = encrypts ? 1 : 0;
  if (EVP_CipherInit_ex2(ctx.get(), method.get(), nullptr, nullptr, direction, nullptr) != 1) {
    return nullptr;
  }
  const int iv_size = static_cast<int>(task.iv.size());
  if (is_gcm(task.algorithm) &&
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_IVLEN, iv_size, nullptr) != 1) {
    return nullptr;
  }
  if (!task.padding) EVP_CIPHER_CTX_set_padding(ctx.get(), 0);
  const Params params = with_key(by, secret, {}, nullptr);
  const bool begun =
      EVP_CipherInit_ex2(ctx.get(), nullptr, by == By::kBytes ? secret.bytes.data() : nullptr,
                         task.iv.empty() ? nullptr : task.iv.data(), direction,
                         params.array().data()) == 1;
  return begun ? std::move(ctx) : nullptr;
}

std::optional<Sealed> encrypt(const Host& host, By by, const Secret& secret, const CipherTask& task,
                              const Bytes& clear) {
  const auto ctx = begin_cipher(host, by, secret, task, true);
  if (ctx == nullptr) return std::nullopt;
  int size = 0;
  if (!task.aad.empty() && EVP_CipherUpdate(ctx.get(), nullptr, &size, task.aad.data(),
                                            static_cast<int>(task.aad.size())) != 1) {
    return std::nullopt;
  }
  Sealed sealed;
  if (!feed(ctx.get(), task, clear, sealed.text)) return std::nullopt;
  if (!is_gcm(task.algorithm)) return sealed;
  sealed.tag.resize(16);
  if (EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, 16, sealed.tag.data()) != 1) {
    return std::nullopt;
  }
  return sealed;
}

std::optional<Bytes> decrypt(const Host& host, By by, const Secret& secret, const CipherTask& task,
                             const Sealed& sealed) {
  const auto ctx = begin_cipher(host, by, secret, task, false);
  if (ctx == nullptr) return std::nullopt;
  int size = 0;
  if (!task.aad.empty() && EVP_CipherUpdate(ctx.get(), nullptr, &size, task.aad.data(),
                                            static_cast<int>(task.aad.size())) != 1) {
    return std::nullopt;
  }
  Bytes tag = sealed.tag;
  if (!tag.empty() && EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG,
                                          static_cast<int>(tag.size()), tag.data()) != 1) {
    return std::nullopt;
  }
  Bytes clear;
  if (!feed(ctx.get(), task, sealed.text, clear)) return std::nullopt;
  return clear;
}

Bytes derive(const Host& host, By by, const Secret& secret, const std::string& algorithm,
             const Params& params, std::size_t size) {
  const ossl::Kdf method(
      EVP_KDF_fetch(host.ctx(), name_for(by, algorithm).c_str(), properties_for(by)));
  if (method == nullptr) return {};
  const ossl::KdfCtx ctx(EVP_KDF_CTX_new(method.get()));
  const Params all = with_key(by, secret, params, OSSL_KDF_PARAM_KEY);
  Bytes out(size);
  const bool derived = EVP_KDF_derive(ctx.get(), out.data(), out.size(), all.array().data()) == 1;
  return derived ? out : Bytes();
}

std::string openssl(const std::string& arguments) {
  const auto words = arguments.find(' ');
  const std::string command = "openssl " + arguments.substr(0, words) +
                              " -provider-path " VHSM_MODULE_DIR
                              " -provider vhsm_files -provider default" +
                              arguments.substr(words) + " 2>&1";
  FILE* const output = ::popen(command.c_str(), "r");
  std::string text;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), part.size(), output) != nullptr) text += part.data();
  ::pclose(output);
  return text;
}

}  // namespace vhsm::test
