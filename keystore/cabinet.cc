// SPDX-License-Identifier: Apache-2.0
#include "keystore/cabinet.h"

#include <utility>

#include "keystore/algorithm_text.h"
#include "keystore/key_policy.h"

namespace vhsm::keystore {

Result<SealedPolicy> SealedPolicy::make(std::string_view text, const KeyType* type,
                                        std::string_view terms) {
  const KeyPolicy said = VHSM_TRY(KeyPolicy::parse(text));
  VHSM_TRY(said.check_fits(type));
  const KeyPolicy own = VHSM_TRY(KeyPolicy::parse(terms));
  const KeyPolicy policy = VHSM_TRY(said.within(own));
  const std::string canonical = policy.text();
  const auto bytes = sealed::view(canonical);
  return SealedPolicy{{bytes.begin(), bytes.end()}, policy.uses()};
}

sealed::NewVersion pair_version(const Key& key, SealedPolicy policy) {
  return {.type = AlgorithmText::of(key), .policy = std::move(policy.text), .uses = policy.uses};
}

sealed::NewVersion secret_version(std::string type, SealedPolicy policy) {
  return {.content = sealed::Content::kSecret,
          .type = std::move(type),
          .policy = std::move(policy.text),
          .uses = policy.uses};
}

Result<sealed::NewVersion> new_version(const Entry& entry, std::string_view policy) {
  const KeyType* const type = entry.key == nullptr ? nullptr : &entry.key->type();
  auto sealed = VHSM_TRY(SealedPolicy::make(policy, type, entry.policy));
  return type == nullptr ? secret_version(AlgorithmText::of(*entry.symmetric), std::move(sealed))
                         : pair_version(*entry.key, std::move(sealed));
}

KeyLine line_of(const KeyName& name, const sealed::Version& version) {
  return {.name = name,
          .version = version.number,
          .enabled = version.state == sealed::State::kEnabled,
          .symmetric = version.content == sealed::Content::kSecret,
          .origin = version.origin,
          .created = version.created,
          .type = version.type,
          .policy = std::string(sealed::text(version.policy)),
          .uses_left = version.uses_left};
}

Result<Entry> Cabinet::read_key(const KeyUri& uri, const SecretBytes& stored) const {
  auto read = shelf->read(uri, stored);
  if (!read.ok()) return read.error().about(uri.name.uri());
  if (read.value().key != nullptr || read.value().symmetric != nullptr) return read;
  return fail(Errc::kNoPrivateKey, "only certificates are there, and no key", uri.name.uri());
}

Result<KeyLine> Cabinet::seal(const KeyName& name, const sealed::NewVersion& version,
                              const SecretBytes& content,
                              const std::optional<sealed::Record>& predecessor) const {
  if (predecessor.has_value()) {
    const auto made = VHSM_TRY(folder->add_version(*predecessor, version, content));
    return line_of(name, made);
  }
  VHSM_TRY(shelf->check_free({name, std::nullopt, std::nullopt}, deadline()));
  const auto made = VHSM_TRY(folder->add(name.path(), version, content));
  return line_of(name, made);
}

Error has_no_folder(const KeyName& name) {
  return fail(Errc::kUnsupported, "keys are in memory alone here: set keystore = dir:PATH",
              name.uri());
}

}  // namespace vhsm::keystore
