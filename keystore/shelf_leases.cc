// SPDX-License-Identifier: Apache-2.0
//
// The shelf's keys under a gate: proofs of this VM, and what comes of them.
#include <algorithm>
#include <utility>

#include "keystore/local_key.h"
#include "keystore/shelf.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;

bool same_key(const Entry& a, const Entry& b) {
  if (a.symmetric != nullptr && b.symmetric != nullptr) {
    return a.symmetric->fingerprint() == b.symmetric->fingerprint();
  }
  return a.key != nullptr && b.key != nullptr && a.public_key_info == b.public_key_info;
}

/// Of leases that are due together one proof may serve all, but not the one that holds now, nor one
/// that would be of little use: renewals begin in the third quarter, so that is a quarter.
Permit::TimePoint earliest_proof(Permit& permit) {
  const GateTerms& terms = permit.lease().terms();
  if (terms.gate != Gate::kLease) return permit.proven();
  return std::max(permit.proven(), steady_clock::now() - terms.lease / 4);
}

}  // namespace

/// Null: it is under no gate. All keys of a shelf are this process's.
PermitPtr Shelf::bind_permit(const GateTerms& terms, const KeyUri& uri, bool at_source,
                             Entry& entry) const {
  const bool has_key = entry.key != nullptr || entry.symmetric != nullptr;
  if (terms.gate == Gate::kNone || !has_key) return nullptr;
  entry.permit = std::make_shared<Permit>(uri, at_source, terms, renewer_);
  entry.permit->belong_to(entry.key, entry.symmetric);
  if (entry.key != nullptr) static_cast<const LocalKey&>(*entry.key).bind(entry.permit);
  if (entry.symmetric != nullptr) entry.symmetric->bind(entry.permit);
  return entry.permit;
}

/// Before anybody else has the key.
void Shelf::put_under_gate(const GateTerms& terms, const KeyUri& uri, bool at_source, Entry& entry,
                           std::optional<Moment> proven) const {
  const auto permit = bind_permit(terms, uri, at_source, entry);
  if (permit != nullptr && proven) permit->grant(proven->boot, proven->steady);
}

Result<Moment> Shelf::prove(Deadline since, Deadline deadline) {
  if (source_ == nullptr) {
    return fail(Errc::kBadConfig, "no KBS is configured to prove this VM to: set kbs");
  }
  const BootTime boot = gate_.now();
  const Deadline asked = steady_clock::now();
  const Deadline begun = VHSM_TRY(source_->prove(since, deadline));
  return Moment{boot - std::max(asked - begun, BootTime(0)), steady_clock::now()};
}

Status Shelf::renew(Permit& permit, Deadline deadline) {
  const auto proven = permit.at_source() ? renew_at_source(permit, deadline)
                                         : prove(earliest_proof(permit), deadline);
  if (!proven.ok()) {
    note_failure(permit, proven.error());
    return proven.error();
  }
  permit.grant(proven.value().boot, proven.value().steady);
  return {};
}

/// The source's word is given now, whenever the proof was begun that it is given on.
Result<Moment> Shelf::renew_at_source(Permit& permit, Deadline deadline) {
  const KeyName& name = permit.uri().name;
  const BootTime asked = gate_.now();
  const auto secret = source_->renew(name, earliest_proof(permit), deadline);
  const Moment released{asked, steady_clock::now()};
  if (secret.ok()) {
    VHSM_TRY(compare(permit, secret.value(), released));
    return released;
  }
  const Errc why = secret.error().code;
  if (takes_back(why)) withdraw(permit, why, nullptr);
  drop_copy(name, why);
  return secret.error().about(name.uri());
}

/// A key that was replaced is gone; its successor takes its place here.
Status Shelf::compare(Permit& permit, const SecretBytes& secret, const Moment& released) {
  const KeyName& name = permit.uri().name;
  const auto here = VHSM_TRY(this->here({name}));
  if (!here.has_value() || here->permit.get() != &permit) return {};  // deleted: nobody decides
  Entry fresh = VHSM_TRY(read_from_source(permit.uri(), secret));
  keep_copy(permit.uri(), fresh, secret);
  if (same_key(*here, fresh)) return {};
  put_under_gate(gate_, permit.uri(), true, fresh, released);
  withdraw(permit, Errc::kMissing, &fresh);
  return fail(Errc::kMissing, "the KBS holds another key under this name now", name.uri());
}

/// Wipes the key, and puts `successor` in its place, or nothing.
void Shelf::withdraw(Permit& permit, Errc why, const Entry* successor) {
  const KeyName& name = permit.uri().name;
  std::map<Place, Entry>::node_type removed;  // ends when the lock is free again
  static_cast<void>(memory::run_protected([&]() -> Status {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(Place{name});
    if (found == entries_.end() || found->second.permit.get() != &permit) return {};
    removed = entries_.extract(found);
    if (successor != nullptr) entries_.emplace(Place{name}, *successor);
    return {};
  }));
  permit.revoke(why);
  if (records_ == nullptr) return;
  records_->audit.write({.event = "wipe", .outcome = reason(why), .key = name.path()});
  records_->log.write(LogLevel::kWarning,
                      name.uri() + " is wiped: the KBS has taken it back (" + reason(why) + ")");
}

void Shelf::note_failure(Permit& permit, const Error& error) {
  if (permit.revoked()) return;
  permit.failed(error.code);
  if (!is_outage(error.code) || !permit.lease().stretch() || records_ == nullptr) return;
  const auto grace = std::chrono::duration_cast<std::chrono::seconds>(permit.lease().terms().grace);
  records_->log.write(LogLevel::kWarning,
                      permit.uri().name.uri() + " goes on serving in an outage of the KBS, for " +
                          std::to_string(grace.count()) +
                          " s beyond its lease (offline_grace): " + describe(error));
}

}  // namespace vhsm::keystore
