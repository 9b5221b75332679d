// SPDX-License-Identifier: Apache-2.0
//
// What happens when protected memory is full. It stays cut up afterwards, so this is not among the
// other tests.
#include <optional>
#include <vector>

#include "tests/keystore/held_keys.h"

namespace vhsm::keystore {
namespace {

class KeyLimitTest : public KeystoreTest {};

TEST_F(KeyLimitTest, AtTheLimitAKeyGetsAClearErrorAndTheOthersGoOn) {
  const auto original = make_key("P-256");
  std::vector<std::shared_ptr<LocalKey>> keys(memory::capacity_bytes() / 1024);
  for (auto& key : keys) key = held(original.get());
  std::vector<std::unique_ptr<Operation>> under_way;
  std::optional<Error> refused;
  while (!refused && under_way.size() < keys.size()) {
    auto begun = keys[under_way.size()]->begin({OperationKind::kSign, "SHA256"});
    if (begun.ok()) {
      under_way.push_back(std::move(begun).value());
    } else {
      refused = begun.error();
    }
  }
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->code, Errc::kMemoryLimit) << describe(*refused);
  const auto& unlucky = *keys[under_way.size()];
  Bytes signature(128);
  for (const auto& operation : under_way) EXPECT_TRUE(operation->run(kDigest, signature).ok());
  under_way.clear();
  EXPECT_TRUE(signs(unlucky));
}

TEST_F(KeyLimitTest, KeysOfEachTypeInTurnFillProtectedMemoryAndWork) {
  std::vector<std::shared_ptr<LocalKey>> keys;
  for (const char* kind : {"P-256", "RSA2048", "P-384", "ED25519", "RSA4096", "P-521", "ED448"}) {
    const auto original = make_key(kind);
    const std::size_t first = keys.size();
    const auto before = hot_set().counters();
    while (hot_set().counters().evictions < before.evictions + before.hot + 20) {
      keys.push_back(held(original.get()));
      if (HasFailure()) return;
    }
    for (std::size_t i = first; i < keys.size(); i += 16) EXPECT_TRUE(signs(*keys[i])) << kind;
  }
}

}  // namespace
}  // namespace vhsm::keystore
