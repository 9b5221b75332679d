// SPDX-License-Identifier: Apache-2.0
#include "snp/agent.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/descriptor.h"
#include "snp/annex.h"
#include "snp/evidence_json.h"

namespace vhsm::snp {
namespace {

constexpr std::string_view kService = "attestation_agent.AttestationAgentService";
constexpr std::string_view kMethod = "GetEvidence";
constexpr std::size_t kHeadBytes = 10;
constexpr std::size_t kMaxDataBytes = std::size_t{4} << 20;
constexpr char kStream = 1;
constexpr char kRequest = 1;
constexpr char kResponse = 2;

// ----- Protocol Buffers --------------------------------------------------------------------------

enum class Wire : std::uint8_t { kVarint = 0, kEight = 1, kBytes = 2, kFour = 5 };

void put_varint(std::string& out, std::uint64_t number) {
  for (; number > 0x7F; number >>= 7) out += static_cast<char>(0x80 | (number & 0x7F));
  out += static_cast<char>(number);
}

void put_field(std::string& out, unsigned number, std::string_view bytes) {
  put_varint(out, number << 3 | static_cast<unsigned>(Wire::kBytes));
  put_varint(out, bytes.size());
  out += bytes;
}

/// One field of a message.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t varint = 0;
  std::string_view bytes;
};

std::optional<std::uint64_t> take_varint(std::string_view& in) {
  std::uint64_t number = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return number;
  }
  return std::nullopt;
}

std::optional<std::string_view> take_bytes(std::string_view& in, std::uint64_t size) {
  if (size > in.size()) return std::nullopt;
  const auto bytes = in.substr(0, size);
  in.remove_prefix(size);
  return bytes;
}

std::optional<Field> take_field(std::string_view& in) {
  const auto tag = take_varint(in);
  if (!tag) return std::nullopt;
  Field field{*tag >> 3, 0, {}};
  std::optional<std::uint64_t> size;
  switch (static_cast<Wire>(*tag & 7)) {
    case Wire::kVarint: {
      const auto number = take_varint(in);
      field.varint = number.value_or(0);
      return number ? std::optional(field) : std::nullopt;
    }
    case Wire::kBytes: size = take_varint(in); break;
    case Wire::kEight: size = 8; break;
    case Wire::kFour: size = 4; break;
  }
  const auto bytes = size ? take_bytes(in, *size) : std::nullopt;
  if (!bytes) return std::nullopt;
  field.bytes = *bytes;
  return field;
}

/// Field `number` of a message: the last one, as the encoding says; empty when there is none.
Result<Field> field_of(std::string_view message, std::uint64_t number) {
  Field found{number, 0, {}};
  while (!message.empty()) {
    const auto field = take_field(message);
    if (!field) return fail(Errc::kBadFormat, "the attestation agent's answer is malformed");
    if (field->number == number) found = *field;
  }
  return found;
}

// ----- frames ------------------------------------------------------------------------------------

void put_number32(std::string& out, std::size_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift);
}

std::size_t number32(std::string_view bytes) {
  std::size_t number = 0;
  for (const char byte : bytes.substr(0, 4))
    number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

/// The length of a frame's data.
Result<std::size_t> data_bytes(std::string_view head) {
  const std::size_t size = number32(head);
  const bool is_answer = number32(head.substr(4)) == kStream && head[8] == kResponse;
  if (is_answer && size <= kMaxDataBytes) return size;
  return fail(Errc::kBadFormat, "the attestation agent's answer is malformed");
}

// ----- the socket --------------------------------------------------------------------------------

class Line {
 public:
  static Result<Line> open(const std::string& path) {
    constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    Line line(clear_of_streams(Descriptor(::socket(AF_UNIX, kType, 0))));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path, address.sun_path);
    const auto* const any = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(line.descriptor_.get(), any, sizeof address) == 0) return line;
    return fail(Errc::kPlatform, "the attestation agent does not answer");
  }

  Status send(std::string_view data, TimePoint deadline) {
    while (!data.empty()) {
      const ssize_t sent = ::send(descriptor_.get(), data.data(), data.size(), MSG_NOSIGNAL);
      if (sent > 0) data.remove_prefix(static_cast<std::size_t>(sent));
      if (sent <= 0) VHSM_TRY(wait(POLLOUT, deadline));
    }
    return {};
  }

  Result<std::string> receive(std::size_t size, TimePoint deadline) {
    std::string data(size, '\0');
    for (std::size_t have = 0; have < size;) {
      const ssize_t got = ::recv(descriptor_.get(), data.data() + have, size - have, 0);
      if (got == 0) return fail(Errc::kPlatform, "the attestation agent hung up");
      if (got > 0) have += static_cast<std::size_t>(got);
      if (got < 0) VHSM_TRY(wait(POLLIN, deadline));
    }
    return data;
  }

 private:
  explicit Line(Descriptor descriptor) noexcept : descriptor_(std::move(descriptor)) {}

  /// After a call that failed.
  [[nodiscard]] Status wait(short events, TimePoint deadline) const {
    if (errno == EINTR) return {};
    if (errno != EAGAIN) return fail(Errc::kPlatform, "the attestation agent hung up");
    if (wait_until_ready(descriptor_.get(), events, deadline)) return {};
    return fail(Errc::kPlatform, "the attestation agent did not answer in time");
  }

  Descriptor descriptor_;
};

class Agent final : public Platform {
 public:
  explicit Agent(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] PlatformInfo info() const override { return {"agent", false, 0}; }

  Result<Evidence> attest(const ReportData& data, TimePoint deadline) override {
    auto evidence = ask(data, std::min(deadline, Clock::now() + kPatience));
    if (!evidence.ok()) return evidence.error().about(path_);
    VHSM_TRY(check_binding(evidence.value(), data, "agent"));
    return evidence;
  }

 private:
  static constexpr std::chrono::seconds kPatience{60};

  [[nodiscard]] Result<Evidence> ask(const ReportData& data, TimePoint deadline) const {
    Line line = VHSM_TRY(Line::open(path_));
    VHSM_TRY(line.send(agent_request(data), deadline));
    const std::string head = VHSM_TRY(line.receive(kHeadBytes, deadline));
    const std::size_t size = VHSM_TRY(data_bytes(head));
    const std::string answer = VHSM_TRY(line.receive(size, deadline));
    return agent_evidence(answer);
  }

  std::string path_;
};

}  // namespace

std::string agent_request(std::span<const std::uint8_t> data) {
  std::string ask;  // GetEvidenceRequest
  put_field(ask, 1, {reinterpret_cast<const char*>(data.data()), data.size()});
  std::string request;
  put_field(request, 1, kService);
  put_field(request, 2, kMethod);
  put_field(request, 3, ask);
  std::string frame;
  put_number32(frame, request.size());
  put_number32(frame, kStream);
  frame += {kRequest, 0};
  return frame + request;
}

Result<Evidence> agent_evidence(std::string_view answer) {
  const Field status = VHSM_TRY(field_of(answer, 1));
  const Field code = VHSM_TRY(field_of(status.bytes, 1));
  if (code.varint != 0) return fail(Errc::kPlatform, "the attestation agent gives no evidence");
  const Field payload = VHSM_TRY(field_of(answer, 2));
  const Field evidence = VHSM_TRY(field_of(payload.bytes, 1));
  const auto json = nlohmann::json::parse(evidence.bytes.begin(), evidence.bytes.end(), nullptr,
                                          /*allow_exceptions=*/false);
  return evidence_from_json(json);
}

Result<std::unique_ptr<Platform>> open_agent(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(Errc::kBadConfig, "the path of the attestation agent's socket is too long", path);
  }
  if (::access(path.c_str(), F_OK) != 0) {
    return fail(Errc::kNoPlatform, "no attestation agent is here", path);
  }
  return std::unique_ptr<Platform>(std::make_unique<Agent>(path));
}

}  // namespace vhsm::snp
