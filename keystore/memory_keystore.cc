// SPDX-License-Identifier: Apache-2.0
#include <openssl/core_dispatch.h>

#include <chrono>
#include <memory>
#include <utility>

#include "keystore/keystore.h"
#include "keystore/local_key.h"
#include "keystore/renewer.h"
#include "keystore/retrier.h"
#include "keystore/shelf.h"
#include "keystore/stand_in_key.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;

class MemoryKeystore final : public HoldingKeystore {
 public:
  MemoryKeystore(std::shared_ptr<KeySource> source, const Deadlines& deadlines,
                 std::shared_ptr<Metrics> metrics, const Policy& policy,
                 std::shared_ptr<const Records> records)
      : shelf_(
            std::make_shared<Shelf>(std::move(source), metrics, policy.gate, std::move(records))),
        retrier_(std::make_shared<Retrier>(shelf_, deadlines)),
        renewer_(std::make_shared<Renewer>(shelf_, deadlines.load_wait, deadlines.fetch_timeout)),
        deadlines_(deadlines),
        metrics_(std::move(metrics)),
        attest_before_generate_(policy.attest_before_generate) {
    shelf_->set_renewer(renewer_);
  }

  Result<Entry> open(const KeyUri& uri) override { return fetch(uri, deadlines_.fetch_timeout); }
  Result<Entry> fetch(const KeyUri& uri, std::chrono::milliseconds patience) override {
    return shelf_->open(uri, steady_clock::now() + patience);
  }

  Result<KeyPtr> open_stand_in(const KeyUri& uri, const KeyType& type,
                               std::span<const std::uint8_t> public_key_info) override {
    auto half = VHSM_TRY(PublicHalf::from_key_info(public_key_info));
    if (&half.type() != &type) {
      return fail(Errc::kBadFormat, "the stand-in's key type and public key differ",
                  uri.name.uri());
    }
    auto same_half = VHSM_TRY(PublicHalf::from_key_info(public_key_info));
    auto key = std::make_shared<StandInKey>(
        std::move(half), std::make_shared<LocalKey>(std::move(same_half), nullptr), uri, shelf_,
        retrier_);
    // Fetched now, while device, files and names are still in reach; an outage is no reason not to
    // start, a key that is not ours is.
    const Status loaded = key->load(steady_clock::now() + deadlines_.load_wait);
    if (!loaded.ok() && loaded.error().code == Errc::kBadFormat) return loaded.error();
    return KeyPtr(std::move(key));
  }

  Result<std::optional<Entry>> find(const KeyName& name) override { return shelf_->find(name); }
  Result<Entry> expect(const KeyUri& uri, std::chrono::milliseconds patience) override {
    return retrier_->open(uri, patience);
  }
  Result<std::vector<KeyUri>> names() override { return shelf_->names(); }

  Result<KeyPtr> generate(const KeyName& name, const KeyType& type,
                          const OSSL_PARAM settings[]) override {
    const KeyUri uri{name, std::nullopt, std::nullopt};
    const auto start = steady_clock::now();
    VHSM_TRY(shelf_->check_free(uri, start + deadlines_.fetch_timeout));
    const auto proven = VHSM_TRY(prove_if_needed(start));
    const auto generator = VHSM_TRY(Generator::create(type, OSSL_KEYMGMT_SELECT_KEYPAIR, metrics_));
    VHSM_TRY(generator->set_params(settings));
    const KeyPtr key = VHSM_TRY(generator->generate(uri));
    Entry entry{.key = key, .certificates = {}};
    entry.public_key_info = VHSM_TRY(key->public_key_info());
    VHSM_TRY(shelf_->add(name, std::move(entry), proven));
    return key;
  }

  Status remove(const KeyName& name) override { return shelf_->remove(name); }

 private:
  Result<std::optional<Moment>> prove_if_needed(steady_clock::time_point since) {
    if (!attest_before_generate_) return std::optional<Moment>();
    const Moment proven =
        VHSM_TRY(shelf_->prove(since, steady_clock::now() + deadlines_.fetch_timeout));
    return std::optional(proven);
  }

  std::shared_ptr<Shelf> shelf_;
  std::shared_ptr<Retrier> retrier_;
  std::shared_ptr<Renewer> renewer_;
  Deadlines deadlines_;
  std::shared_ptr<Metrics> metrics_;
  bool attest_before_generate_;
};

}  // namespace

std::unique_ptr<HoldingKeystore> make_memory_keystore(std::shared_ptr<KeySource> source,
                                                      const Deadlines& deadlines,
                                                      std::shared_ptr<Metrics> metrics,
                                                      const Policy& policy,
                                                      std::shared_ptr<const Records> records) {
  return std::make_unique<MemoryKeystore>(std::move(source), deadlines, std::move(metrics), policy,
                                          std::move(records));
}

}  // namespace vhsm::keystore
