// SPDX-License-Identifier: Apache-2.0
#include "provider/objects.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>

#include <array>

namespace vhsm::provider {
namespace {

// OSSL_PARAM's pointers are not const; libcrypto only reads through these.
OSSL_PARAM utf8(const char* key, const char* text) noexcept {
  return OSSL_PARAM_construct_utf8_string(key, const_cast<char*>(text), 0);
}

OSSL_PARAM octets(const char* key, std::span<const std::uint8_t> data) noexcept {
  return OSSL_PARAM_construct_octet_string(key, const_cast<std::uint8_t*>(data.data()),
                                           data.size());
}

}  // namespace

bool tell_key(const KeyHandle& handle, OSSL_CALLBACK* tell, void* arg) noexcept {
  int object = OSSL_OBJECT_PKEY;
  const KeyHandle* reference = &handle;
  const std::array<OSSL_PARAM, 4> params{
      OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
      utf8(OSSL_OBJECT_PARAM_DATA_TYPE, handle.type().name),
      // NOLINTNEXTLINE(bugprone-sizeof-expression): the reference is a pointer
      OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &reference, sizeof(reference)),
      OSSL_PARAM_construct_end()};
  return tell(params.data(), arg) == 1;
}

bool tell_name(const std::string& uri, OSSL_CALLBACK* tell, void* arg) noexcept {
  int object = OSSL_OBJECT_NAME;
  const std::array<OSSL_PARAM, 3> params{OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
                                         utf8(OSSL_OBJECT_PARAM_DATA, uri.c_str()),
                                         OSSL_PARAM_construct_end()};
  return tell(params.data(), arg) == 1;
}

bool tell_certificate(std::span<const std::uint8_t> der, OSSL_CALLBACK* tell, void* arg) noexcept {
  int object = OSSL_OBJECT_CERT;
  const std::array<OSSL_PARAM, 3> params{OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
                                         octets(OSSL_OBJECT_PARAM_DATA, der),
                                         OSSL_PARAM_construct_end()};
  return tell(params.data(), arg) == 1;
}

bool tell_stand_in(std::span<const std::uint8_t> der, const char* type, OSSL_CALLBACK* tell,
                   void* arg) noexcept {
  int object = OSSL_OBJECT_PKEY;
  const std::array<OSSL_PARAM, 5> params{OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &object),
                                         utf8(OSSL_OBJECT_PARAM_DATA_TYPE, type),
                                         utf8(OSSL_OBJECT_PARAM_DATA_STRUCTURE, kStandInStructure),
                                         octets(OSSL_OBJECT_PARAM_DATA, der),
                                         OSSL_PARAM_construct_end()};
  return tell(params.data(), arg) == 1;
}

}  // namespace vhsm::provider
