// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/wire_params.h"

namespace vhsm::keystore {

void WireParams::write(CborWriter& writer) const {
  writer.array(items().size());
  for (const Item& item : items()) {
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

}  // namespace vhsm::keystore
