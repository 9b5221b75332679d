// SPDX-License-Identifier: Apache-2.0
//
// Evidence within certificates and requests for them: the extension id-pe-cmw.
// Source: RFC 9999, section 4.4; RFC 5280, section 4.2 (extensions); RFC 2985, section 5.4.2
// (extensions that a request asks for).
#pragma once

#include "base/handle.h"
#include "base/result.h"
#include "evidence/cmw.h"

namespace vhsm::ossl {
using X509Ext = Handle<X509_EXTENSION, X509_EXTENSION_free>;
using X509Req = Handle<X509_REQ, X509_REQ_free>;
}  // namespace vhsm::ossl

namespace vhsm::evidence {

/// Not critical.
/// @param cbor  a collection.
/// @errors kCrypto.
[[nodiscard]] Result<ossl::X509Ext> make_extension(ByteView cbor);

/// The collection in the one extension id-pe-cmw among `extensions`, as CBOR or as JSON.
/// @errors kBadFormat when there is none, or more than one.
[[nodiscard]] Result<Collection> collection_in(const STACK_OF(X509_EXTENSION) * extensions);

}  // namespace vhsm::evidence
