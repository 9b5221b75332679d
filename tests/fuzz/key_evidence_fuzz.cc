// SPDX-License-Identifier: Apache-2.0
//
// Evidence of a key as anybody may present it: CBOR, JSON, a request or a certificate. What can be
// read says the same in both encodings, claims have one encoding, and nothing is ever accepted
// where no root is trusted.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "evidence/key_claims.h"
#include "evidence/key_verdict.h"

namespace {

using namespace vhsm;            // NOLINT(google-build-using-namespace): the target is this
using namespace vhsm::evidence;  // NOLINT(google-build-using-namespace)

void try_encodings(const Collection& collection) {
  const auto cbor = collection_from_cbor(to_cbor(collection));
  if (!cbor.ok() || !(cbor.value() == collection)) std::abort();
}

void try_claims(ByteView bytes) {
  const auto claims = parse_claims(bytes);
  if (!claims.ok()) return;
  const Bytes again = encode(claims.value());
  if (!std::ranges::equal(again, bytes)) std::abort();
  static_cast<void>(to_json(claims.value()).dump());
}

void try_verdict(const Presented& presented) {
  Expectations expected;
  expected.machine.report = snp::standing_rules();
  expected.allowed = {"imported", "fetched", "kbs", "recovery", "snp"};
  if (judge_key(presented, snp::Roots{}, expected).accepted.ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  const auto collection = collection_from_cbor(input);
  if (collection.ok()) try_encodings(collection.value());
  try_claims(input);
  const auto presented = read_presented(input);
  if (!presented.ok()) return 0;
  try_encodings(presented.value().evidence.collection());
  try_claims(presented.value().evidence.claims);
  try_verdict(presented.value());
  return 0;
}
