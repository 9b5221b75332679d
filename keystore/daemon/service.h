// SPDX-License-Identifier: Apache-2.0
//
// What vhsmd answers to a request of a peer: who may, then what. Knows nothing of sockets.
// Source: docs/vhsmd-protocol.md.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "keystore/daemon/grants.h"
#include "keystore/daemon/message.h"
#include "keystore/daemon/peer.h"
#include "keystore/keystore.h"

namespace vhsm::keystore {

/// Thread-safe.
class Service {
 public:
  /// @param status  fills in what the caller knows of the process.
  /// @param longest_wait  for a KBS, whatever a request says.
  Service(std::shared_ptr<HoldingKeystore> keystore, std::shared_ptr<Grants> grants, Log log,
          std::function<DaemonStatus()> status,
          std::chrono::milliseconds longest_wait = Deadlines().fetch_timeout);

  /// The answer, if it takes no waiting.
  std::optional<Reply> answer_at_once(const Request& request, const Peer& peer);
  /// The answer, which may have to wait for a KBS: at most as long as `request` says, or
  /// kFirstOutcome for an operation.
  Reply answer(const Request& request, const Peer& peer);
  /// Whether `peer` may take this vhsmd's place.  @errors kNotGranted.
  Status may_take_over(const Peer& peer);

  /// A refusal that is written to the log; of many in a second only some.
  void note(const Error& refusal) noexcept;

 private:
  /// How long an operation waits for the first try to fetch its key. Later ones do not wait.
  static constexpr std::chrono::milliseconds kFirstOutcome{1000};

  /// The least that a KBS is given to answer an open.
  static constexpr std::chrono::milliseconds kShortestWait{1000};

  Result<Reply> reply_at_once(const Request& request, const Peer& peer, bool& has_to_wait);
  Result<Reply> reply_waiting(const Request& request, const Peer& peer);
  Result<Reply> names_for(const Peer& peer);
  Result<Reply> list_for(const Peer& peer);
  Result<Reply> use_here(const Request& request, const Peer& peer, bool& has_to_wait);
  Result<Reply> generate(const Request& request, const Peer& peer);
  Result<Reply> attest(const Request& request, const Peer& peer);
  Result<Reply> manage(const Request& request, const Peer& peer);
  Result<Reply> manage_grants(const Request& request, const Peer& peer);
  Result<KeyUri> permitted(const Request& request, const Peer& peer);
  Result<Reply> use(const Request& request, const KeyUri& uri, const Entry& entry) const;
  Result<Reply> use_symmetric(const Request& request, const KeyUri& uri, const Entry& entry) const;
  [[nodiscard]] std::chrono::milliseconds patience(std::chrono::milliseconds asked) const noexcept;
  Status check_owner(const Peer& peer) const;
  Reply finish(Result<Reply> reply, const Request& request);

  std::shared_ptr<HoldingKeystore> keystore_;
  std::shared_ptr<Grants> grants_;
  Log log_;
  std::function<DaemonStatus()> status_;
  std::chrono::milliseconds longest_wait_;
  std::atomic<std::int64_t> noted_second_{0};
  std::atomic<unsigned> noted_{0};
};

}  // namespace vhsm::keystore
