// SPDX-License-Identifier: Apache-2.0
#include "keystore/kept_params.h"

#include <openssl/params.h>

#include <cstring>
#include <utility>

namespace vhsm::keystore {
namespace {

using ByteSpan = std::span<const std::uint8_t>;

/// The type that a value has once it is here and not behind a pointer; 0 for what is not sent.
unsigned sent_type(unsigned type) noexcept {
  switch (type) {
    case OSSL_PARAM_INTEGER:
    case OSSL_PARAM_UNSIGNED_INTEGER:
    case OSSL_PARAM_UTF8_STRING:
    case OSSL_PARAM_OCTET_STRING: return type;
    case OSSL_PARAM_UTF8_PTR: return OSSL_PARAM_UTF8_STRING;
    case OSSL_PARAM_OCTET_PTR: return OSSL_PARAM_OCTET_STRING;
    default: return 0;
  }
}

ByteSpan value_of(const OSSL_PARAM& param) noexcept {
  const bool behind_pointer =
      param.data_type == OSSL_PARAM_UTF8_PTR || param.data_type == OSSL_PARAM_OCTET_PTR;
  const void* data = behind_pointer && param.data != nullptr
                         ? *static_cast<const void* const*>(param.data)
                         : param.data;
  if (data == nullptr) return {};
  const bool text =
      param.data_type == OSSL_PARAM_UTF8_STRING || param.data_type == OSSL_PARAM_UTF8_PTR;
  // Hosts give 0 for "as long as the string".
  const std::size_t size =
      text && param.data_size == 0 ? std::strlen(static_cast<const char*>(data)) : param.data_size;
  return {static_cast<const std::uint8_t*>(data), size};
}

}  // namespace

Status KeptParams::add_one(std::string_view name, unsigned type,
                           std::span<const std::uint8_t> value) {
  if (items_.size() >= kMaxCount || name.size() > kMaxNameBytes || value.size() > kMaxValueBytes ||
      type == 0 || sent_type(type) != type || name.find('\0') != std::string_view::npos) {
    return fail(Errc::kUnsupported, "this parameter is not for vhsm", name);
  }
  Item item{std::string(name), type, {value.begin(), value.end()}};
  item.value.push_back(0);  // libcrypto takes some strings for null-terminated
  items_.push_back(std::move(item));
  return {};
}

Status KeptParams::add(const OSSL_PARAM params[]) {
  std::erase_if(items_, [params](const Item& item) {
    return params != nullptr && OSSL_PARAM_locate_const(params, item.name.c_str()) != nullptr;
  });
  for (const OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    VHSM_TRY(add_one(p->key, sent_type(p->data_type), value_of(*p)));
  }
  return {};
}

std::vector<OSSL_PARAM> KeptParams::view() const {
  std::vector<OSSL_PARAM> params;
  for (const Item& item : items_) {
    // OSSL_PARAM's pointer is not const; setters only read.
    auto* value = const_cast<std::uint8_t*>(item.value.data());
    params.push_back(
        {item.name.c_str(), item.type, value, item.value.size() - 1, OSSL_PARAM_UNMODIFIED});
  }
  params.push_back({nullptr, 0, nullptr, 0, 0});
  return params;
}

}  // namespace vhsm::keystore
