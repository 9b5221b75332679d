// SPDX-License-Identifier: Apache-2.0
//
// An OSSL_PARAM array that keeps what it points to.
#pragma once

#include <openssl/params.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/provider/host.h"

namespace vhsm::test {

class Params {
 public:
  Params& text(const char* name, const std::string& value) {
    return add(name, OSSL_PARAM_UTF8_STRING, value.data(), value.size());
  }
  Params& number(const char* name, int value) {
    return add(name, OSSL_PARAM_INTEGER, &value, sizeof value);
  }
  Params& unsigned_number(const char* name, unsigned value) {
    return add(name, OSSL_PARAM_UNSIGNED_INTEGER, &value, sizeof value);
  }
  Params& bytes(const char* name, const Bytes& value) {
    return add(name, OSSL_PARAM_OCTET_STRING, value.data(), value.size());
  }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  /// Good as long as this.
  [[nodiscard]] std::vector<OSSL_PARAM> get() const {
    std::vector<OSSL_PARAM> all;
    for (const Item& item : items_) {
      all.push_back({item.name, item.type, const_cast<std::uint8_t*>(item.value.data()),
                     item.value.size() - 1, OSSL_PARAM_UNMODIFIED});
    }
    all.push_back(OSSL_PARAM_construct_end());
    return all;
  }

 private:
  struct Item {
    const char* name;
    unsigned type;
    Bytes value;  ///< and a null byte
  };
  Params& add(const char* name, unsigned type, const void* data, std::size_t size) {
    Bytes value(size + 1);
    if (size != 0) std::memcpy(value.data(), data, size);
    items_.push_back({name, type, std::move(value)});
    return *this;
  }
  std::vector<Item> items_;
};

}  // namespace vhsm::test
