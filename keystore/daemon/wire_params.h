// SPDX-License-Identifier: Apache-2.0
//
// Parameters that can be sent.
// Source: docs/vhsmd-protocol.md, "Parameters".
#pragma once

#include "base/cbor.h"
#include "base/result.h"
#include "keystore/kept_params.h"

namespace vhsm::keystore {

class WireParams : public KeptParams {
 public:
  void write(CborWriter& writer) const;
  /// @errors kBadFormat, and those of add().
  static Result<WireParams> read(CborReader& reader);
};

}  // namespace vhsm::keystore
