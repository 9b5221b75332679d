// SPDX-License-Identifier: Apache-2.0
#include "evidence/pkix.h"

#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <string_view>

namespace vhsm::evidence {
namespace {

/// id-pe-cmw
constexpr const char* kOid = "1.3.6.1.5.5.7.1.35";

using Object = ossl::Handle<ASN1_OBJECT, ASN1_OBJECT_free>;
using OctetString = ossl::Handle<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>;
using AnyType = ossl::Handle<ASN1_TYPE, ASN1_TYPE_free>;

Result<Object> cmw_object() {
  return made(Object(OBJ_txt2obj(kOid, 1)), "the extension's identifier cannot be made");
}

Result<OctetString> octets(ByteView bytes) {
  auto string = VHSM_TRY(made(OctetString(ASN1_OCTET_STRING_new()), "no memory"));
  VHSM_TRY(crypto(ASN1_OCTET_STRING_set(string.get(), bytes.data(), static_cast<int>(bytes.size())),
                  "no memory for an extension"));
  return string;
}

/// CMW ::= CHOICE { json UTF8String, cbor OCTET STRING }
Result<Bytes> encode_choice(ByteView cbor) {
  const auto string = VHSM_TRY(octets(cbor));
  Bytes der(static_cast<std::size_t>(i2d_ASN1_OCTET_STRING(string.get(), nullptr)));
  unsigned char* next = der.data();
  i2d_ASN1_OCTET_STRING(string.get(), &next);
  return der;
}

Error malformed() { return fail(Errc::kBadFormat, "the extension id-pe-cmw is malformed"); }

Result<Collection> decode_choice(ByteView der) {
  const unsigned char* next = der.data();
  const AnyType any(d2i_ASN1_TYPE(nullptr, &next, static_cast<long>(der.size())));
  if (any == nullptr || next != der.data() + der.size()) return malformed();
  const int kind = ASN1_TYPE_get(any.get());
  if (kind != V_ASN1_OCTET_STRING && kind != V_ASN1_UTF8STRING) return malformed();
  const ASN1_STRING* const string = any->value.asn1_string;
  const auto* const data = ASN1_STRING_get0_data(string);
  const auto size = static_cast<std::size_t>(ASN1_STRING_length(string));
  if (kind == V_ASN1_OCTET_STRING) return collection_from_cbor({data, size});
  return collection_from_json({reinterpret_cast<const char*>(data), size});
}

}  // namespace

Result<ossl::X509Ext> make_extension(ByteView cbor) {
  const auto object = VHSM_TRY(cmw_object());
  const auto der = VHSM_TRY(encode_choice(cbor));
  const auto value = VHSM_TRY(octets(der));
  return made(ossl::X509Ext(X509_EXTENSION_create_by_OBJ(nullptr, object.get(), 0, value.get())),
              "the extension cannot be made");
}

Result<Collection> collection_in(const STACK_OF(X509_EXTENSION) * extensions) {
  const auto object = VHSM_TRY(cmw_object());
  const int place = X509v3_get_ext_by_OBJ(extensions, object.get(), -1);
  if (place < 0) return fail(Errc::kBadFormat, "it has no evidence in it (extension id-pe-cmw)");
  if (X509v3_get_ext_by_OBJ(extensions, object.get(), place) >= 0) return malformed();
  const ASN1_OCTET_STRING* const value = X509_EXTENSION_get_data(X509v3_get_ext(extensions, place));
  return decode_choice(
      {ASN1_STRING_get0_data(value), static_cast<std::size_t>(ASN1_STRING_length(value))});
}

}  // namespace vhsm::evidence
