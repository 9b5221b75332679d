// SPDX-License-Identifier: Apache-2.0
//
// The attestation agent of Confidential Containers' guest components: where it runs in this VM and
// has the device to itself, it is asked for evidence over its Unix socket.
// Source: confidential-containers/guest-components, attestation-agent/protos; containerd/ttrpc,
// PROTOCOL.md (version 1.0: unary requests); Protocol Buffers, Encoding.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "snp/platform.h"

namespace vhsm::snp {

inline constexpr std::string_view kAgentSocket =
    "/run/confidential-containers/attestation-agent/attestation-agent.sock";

/// The agent that listens at `path`, which each attest() opens: a process that has changed its root
/// no longer finds it.
/// @errors kBadConfig for a path that no socket can have; kNoPlatform when there is nothing.
[[nodiscard]] Result<std::unique_ptr<Platform>> open_agent(const std::string& path);

/// The frame that asks for evidence over `data`.
[[nodiscard]] std::string agent_request(std::span<const std::uint8_t> data);

/// Evidence from a frame's data, which is the agent's answer.
/// @errors kBadFormat for anything else; kPlatform when the agent refuses.
[[nodiscard]] Result<Evidence> agent_evidence(std::string_view answer);

}  // namespace vhsm::snp
