// SPDX-License-Identifier: Apache-2.0
//
// What provider and vhsmd say to each other. A message is a CBOR map behind its length; a client
// asks, vhsmd answers, one at a time on a connection.
// Source: docs/vhsmd-protocol.md.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cbor.h"
#include "base/result.h"
#include "keystore/daemon/wire_params.h"
#include "keystore/key.h"
#include "keystore/secret_material.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

inline constexpr std::uint64_t kProtocolVersion = 1;
inline constexpr std::size_t kLengthBytes = 4;  ///< of the length in front; big-endian
/// The longest message, without its length. What is signed as a whole must fit.
inline constexpr std::size_t kMaxMessageBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMaxOutputBytes = std::size_t{64} << 10;

/// Bytes that may be a client's plaintext or shared secret: wiped at the end.
class Message {
 public:
  Message() = default;
  explicit Message(std::size_t size) : bytes_(size) {}
  Message(Message&&) = default;
  Message& operator=(Message&& other) noexcept {
    bytes_.swap(other.bytes_);
    return *this;
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message();

  /// Growing by itself, a vector would leave copies behind: these two wipe what they move away
  /// from.
  void resize(std::size_t size);
  void append(ByteView more);
  void wipe(std::size_t from, std::size_t to) noexcept;

  [[nodiscard]] std::vector<std::uint8_t>& bytes() noexcept { return bytes_; }
  [[nodiscard]] const std::vector<std::uint8_t>& bytes() const noexcept { return bytes_; }

 private:
  void reserve(std::size_t size);

  std::vector<std::uint8_t> bytes_;
};

enum class Ask : std::uint8_t {
  kOpen = 1,    ///< name, wait -> public key, certificates
  kOperate,     ///< name, public key, kind, ... -> output
  kStatus,      ///< -> status
  kGrant,       ///< name (none: every key), rule
  kRevoke,      ///< the same
  kGrants,      ///< name (none: all) -> lines
  kNames,       ///< -> lines: the names of the keys that are here and that the asker may use
  kTakeOver,    ///< -> the listening socket, beside the answer; this vhsmd then ends
  kFind,        ///< name -> as kOpen, of what is here
  kGenerate,    ///< name, type, params, policy -> public key
  kRemove,      ///< name, version (none: all)
  kOpenSecret,  ///< name, wait -> public key: a fingerprint; size
  kUseSecret,   ///< name, public key: that fingerprint; step, params, input, capacity -> output
  kList,        ///< -> lines, as list_line.h writes them
  kRotate,      ///< name -> one line
  kEnable,      ///< name, version (none: all)
  kDisable,     ///< the same
  kSetPolicy,   ///< the same, and policy (none: all is allowed)
  kRelease,     ///< name, version, wait -> the bytes of a secret, behind the answer
  kAttest,      ///< name, version (none: the newest), input: the nonce -> output
  kLast = kAttest,
};

/// Whether to ask twice may do what was meant once, or be refused the second time.
[[nodiscard]] constexpr bool changes_something(Ask ask) noexcept {
  constexpr std::array kChanges{Ask::kGrant,    Ask::kRevoke,  Ask::kTakeOver,
                                Ask::kGenerate, Ask::kRemove,  Ask::kRotate,
                                Ask::kEnable,   Ask::kDisable, Ask::kSetPolicy};
  return std::ranges::find(kChanges, ask) != kChanges.end();
}

/// What a symmetric key is to do: an operation from its start, of which only one piece of the
/// output is wanted.
struct SymmetricStep {
  std::string_view algorithm{};  ///< SymmetricAlgorithm::name
  bool forwards = true;          ///< false: decrypt, unwrap
  ByteView iv{};
  ByteView associated{};  ///< data that is only authenticated
  std::size_t skip = 0;   ///< bytes of text before the input, whose output is not wanted
  bool last = false;      ///< wanted is what the end yields, else what the input yields
};

/// A rule as it is asked for: "user", "group" or "unit", and a name or number.
struct RuleText {
  std::string_view kind;
  std::string_view value;
};

/// Views point into the message.
struct Request {
  Ask ask = Ask::kStatus;
  std::string_view name{};
  std::uint32_t version = 0;  ///< of the key; 0: none is named
  ByteView public_key{};      ///< SubjectPublicKeyInfo, DER: which key of that name is meant
  std::chrono::milliseconds wait{0};

  OperationKind kind = OperationKind::kSign;
  std::string_view digest{};
  WireParams params{};
  ByteView peer{};  ///< the other side's SubjectPublicKeyInfo, DER
  ByteView input{};
  std::size_t capacity = 0;  ///< bytes of output that the client has room for

  std::string_view type{};    ///< of the key to generate, as KeyType::name
  std::string_view policy{};  ///< as key_policy.h reads it
  RuleText rule{};
  SymmetricStep step{};
};

/// How vhsmd is, for `vhsm doctor`.
struct DaemonStatus {
  std::string version;
  std::string memory;    ///< memfd_secret, mlock
  std::string platform;  ///< empty: none
  std::uint64_t process = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t keys = 0;
  std::uint64_t connections = 0;
  std::uint64_t fetches = 0;
  std::uint64_t reports = 0;
  std::uint64_t operations = 0;
  std::uint64_t memory_in_use_bytes = 0;
  std::uint64_t memory_capacity_bytes = 0;
};

/// An answer. Either the error or the rest counts.
struct Reply {
  std::optional<Error> error{};
  std::vector<std::uint8_t> public_key{};
  std::vector<std::vector<std::uint8_t>> certificates{};
  Keeping keeping = Keeping::kStored;
  std::uint32_t version = 0;  ///< of the key; 0: it has none
  Message output{};
  std::optional<DaemonStatus> status{};
  std::vector<std::string> lines{};
  std::size_t size = 0;  ///< of a symmetric key, in bytes
  /// Its bytes stand behind the message: they go from protected memory into protected memory.
  SecretBytes secret{};
};

/// With the length in front.
[[nodiscard]] Message encode(const Request& request);
[[nodiscard]] Message encode(const Reply& reply);

/// `message` is without its length.
/// @errors kBadFormat; kNoDaemon when the other side speaks another version.
Result<Request> decode_request(ByteView message);
/// A secret has room for what stands behind the message, and is zeros.
/// An error that vhsmd tells becomes the subject of one of ours: only literals are sentences.
Result<Reply> decode_reply(ByteView message);

/// The length in front of a message.
/// @errors kBadFormat when it is 0 or beyond kMaxMessageBytes.
Result<std::size_t> decode_length(std::span<const std::uint8_t, kLengthBytes> head);

}  // namespace vhsm::keystore
