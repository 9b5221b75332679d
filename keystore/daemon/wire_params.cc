// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/wire_params.h"

#include <openssl/params.h>

#include <cstring>

namespace vhsm::keystore {
namespace {

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

ByteView value_of(const OSSL_PARAM& param) noexcept {
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

Status WireParams::add_one(std::string_view name, unsigned type, ByteView value) {
  if (items_.size() >= kMaxCount || name.size() > kMaxNameBytes || value.size() > kMaxValueBytes ||
      type == 0 || sent_type(type) != type || name.find('\0') != std::string_view::npos) {
    return fail(Errc::kUnsupported, "this parameter is not for vhsmd", name);
  }
  Item item{std::string(name), type, {value.begin(), value.end()}};
  item.value.push_back(0);  // libcrypto takes some strings for null-terminated
  items_.push_back(std::move(item));
  return {};
}

Status WireParams::add(const OSSL_PARAM params[]) {
  for (const OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    VHSM_TRY(add_one(p->key, sent_type(p->data_type), value_of(*p)));
  }
  return {};
}

void WireParams::write(CborWriter& writer) const {
  writer.array(items_.size());
  for (const Item& item : items_) {
    writer.array(3);
    writer.text(item.name);
    writer.number(item.type);
    writer.bytes(ByteView(item.value).first(item.value.size() - 1));
  }
}

Result<WireParams> WireParams::read(CborReader& reader) {
  WireParams params;
  const std::size_t count = VHSM_TRY(reader.array());
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t parts = VHSM_TRY(reader.array());
    if (parts != 3) return fail(Errc::kBadFormat, "a parameter is a name, a type and a value");
    const std::string_view name = VHSM_TRY(reader.text());
    const std::uint64_t type = VHSM_TRY(reader.number());
    const ByteView value = VHSM_TRY(reader.bytes());
    VHSM_TRY(params.add_one(name, type <= OSSL_PARAM_OCTET_PTR ? static_cast<unsigned>(type) : 0,
                            value));
  }
  return params;
}

std::vector<OSSL_PARAM> WireParams::view() const {
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
