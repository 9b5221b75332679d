// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/message.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

namespace vhsm::keystore {
namespace {

// The keys of the maps.
enum class Field : std::uint8_t {
  kVersion = 0,
  kAsk = 1,
  kName = 2,
  kPublicKey = 3,
  kWait = 4,
  kKind = 5,
  kDigest = 6,
  kParams = 7,
  kPeer = 8,
  kInput = 9,
  kCapacity = 10,
  kRule = 11,
  kError = 12,
  kCertificates = 13,
  kOutput = 14,
  kStatus = 15,
  kLines = 16,
  kType = 17,
  kKeeping = 18,
  kSize = 19,
  kStep = 20,
  kKeyVersion = 21,
  kPolicy = 22,
  kSecret = 23,
};
constexpr std::size_t kFieldCount = 24;

/// A map whose fields are written as they come: they are few, so their number takes one byte, which
/// is set at the end.
class MapWriter {
 public:
  explicit MapWriter(Message& message) : out_(message.bytes()), writer_(out_) {
    out_.assign(kLengthBytes, 0);
    writer_.map(0);
    field(Field::kVersion).number(kProtocolVersion);
  }
  CborWriter& field(Field field) {
    ++out_[kLengthBytes];
    writer_.number(static_cast<std::uint64_t>(field));
    return writer_;
  }
  void finish() noexcept {
    const std::size_t size = out_.size() - kLengthBytes;
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
      out_[i] = static_cast<std::uint8_t>(size >> (8 * (kLengthBytes - 1 - i)));
    }
  }

 private:
  std::vector<std::uint8_t>& out_;
  CborWriter writer_;
};

/// Reads a map; `read` gets each field but the version once.
template <class Read>
Status read_map(ByteView message, Read&& read) {
  CborReader reader(message);
  std::array<bool, kFieldCount> seen{};
  const std::size_t count = VHSM_TRY(reader.map());
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t key = VHSM_TRY(reader.number());
    if (key >= kFieldCount || std::exchange(seen[key], true)) {
      return fail(Errc::kBadFormat, "a field that the protocol does not have, or twice");
    }
    if (key != static_cast<std::uint64_t>(Field::kVersion)) {
      VHSM_TRY(read(static_cast<Field>(key), reader));
      continue;
    }
    const std::uint64_t version = VHSM_TRY(reader.number());
    if (version != kProtocolVersion) {
      return fail(Errc::kNoDaemon, "vhsm and vhsmd are of different versions");
    }
  }
  if (!seen[0]) return fail(Errc::kBadFormat, "a message without a version");
  if (!reader.at_end()) return fail(Errc::kBadFormat, "bytes behind a message");
  return {};
}

template <class T>
Status read_number(CborReader& reader, T& into, std::uint64_t least, std::uint64_t most) {
  const std::uint64_t number = VHSM_TRY(reader.number());
  if (number < least || number > most) return fail(Errc::kBadFormat, "a number out of range");
  into = static_cast<T>(number);
  return {};
}

Status read_wait(CborReader& reader, std::chrono::milliseconds& into) {
  constexpr std::uint64_t kMost = std::uint64_t{3600} * 1000;
  std::uint64_t number = 0;
  VHSM_TRY(read_number(reader, number, 0, kMost));
  into = std::chrono::milliseconds(number);
  return {};
}

template <class T>
Status read_into(T& into, Result<T> value) {
  into = VHSM_TRY(std::move(value));
  return {};
}

Status read_rule(CborReader& reader, RuleText& rule) {
  const std::size_t parts = VHSM_TRY(reader.array());
  if (parts != 2) return fail(Errc::kBadFormat, "a rule is a kind and a value");
  rule.kind = VHSM_TRY(reader.text());
  rule.value = VHSM_TRY(reader.text());
  return {};
}

constexpr std::size_t kStepParts = 6;

void write_step(CborWriter& writer, const SymmetricStep& step) {
  writer.array(kStepParts);
  writer.text(step.algorithm);
  writer.number(step.forwards ? 1 : 0);
  writer.bytes(step.iv);
  writer.bytes(step.associated);
  writer.number(step.skip);
  writer.number(step.last ? 1 : 0);
}

Status read_step(CborReader& reader, SymmetricStep& step) {
  const std::size_t parts = VHSM_TRY(reader.array());
  if (parts != kStepParts) return fail(Errc::kBadFormat, "a step has six parts");
  step.algorithm = VHSM_TRY(reader.text());
  VHSM_TRY(read_number(reader, step.forwards, 0, 1));
  step.iv = VHSM_TRY(reader.bytes());
  step.associated = VHSM_TRY(reader.bytes());
  VHSM_TRY(read_number(reader, step.skip, 0, kMaxMessageBytes));
  return read_number(reader, step.last, 0, 1);
}

Status read_field(Field field, CborReader& reader, Request& request) {
  switch (field) {
    case Field::kAsk:
      return read_number(reader, request.ask, 1, static_cast<std::uint64_t>(Ask::kLast));
    case Field::kName: return read_into(request.name, reader.text());
    case Field::kPublicKey: return read_into(request.public_key, reader.bytes());
    case Field::kWait: return read_wait(reader, request.wait);
    case Field::kKind:
      return read_number(reader, request.kind, 0,
                         static_cast<std::uint64_t>(OperationKind::kAuthEncapsulate));
    case Field::kDigest: return read_into(request.digest, reader.text());
    case Field::kParams: return read_into(request.params, WireParams::read(reader));
    case Field::kPeer: return read_into(request.peer, reader.bytes());
    case Field::kInput: return read_into(request.input, reader.bytes());
    case Field::kCapacity: return read_number(reader, request.capacity, 0, SIZE_MAX);
    case Field::kRule: return read_rule(reader, request.rule);
    case Field::kType: return read_into(request.type, reader.text());
    case Field::kPolicy: return read_into(request.policy, reader.text());
    case Field::kStep: return read_step(reader, request.step);
    case Field::kKeyVersion: return read_number(reader, request.version, 1, UINT32_MAX);
    default: return fail(Errc::kBadFormat, "a field that requests do not have");
  }
}

// ----- replies ----------------------------------------------------------------------------------

void write_error(CborWriter& writer, const Error& error) {
  writer.array(3);
  writer.number(static_cast<std::uint64_t>(error.code));
  writer.text(std::string(error.what.c_str()) + " (" + cure(error) + ")");
  writer.text(error.subject.text());
}

/// Subject and sentence share what a subject can take. The sentence has its cure in it: only vhsmd
/// knows what failed.
Status read_error(CborReader& reader, std::optional<Error>& into) {
  constexpr std::size_t kShownSubjectBytes = Subject::kMaxBytes / 3;
  const std::size_t parts = VHSM_TRY(reader.array());
  std::uint64_t code = 0;
  VHSM_TRY(read_number(reader, code, 1, static_cast<std::uint64_t>(Errc::kLast)));
  const std::string_view what = VHSM_TRY(reader.text());
  const std::string_view subject = VHSM_TRY(reader.text());
  if (parts != 3) return fail(Errc::kBadFormat, "an error has three parts");
  std::string text(subject.substr(0, kShownSubjectBytes));
  if (!text.empty()) text += ": ";
  text += what;
  into = fail(static_cast<Errc>(code), "so says vhsmd", text).cured_by("its log may tell more");
  return {};
}

template <class T, class Read>
Status read_list(CborReader& reader, std::vector<T>& list, Read&& read_one) {
  const std::size_t count = VHSM_TRY(reader.array());
  for (std::size_t i = 0; i < count; ++i) {
    const auto item = VHSM_TRY(read_one(reader));
    list.emplace_back(item.begin(), item.end());
  }
  return {};
}

constexpr std::array kStatusTexts{&DaemonStatus::version, &DaemonStatus::memory,
                                  &DaemonStatus::platform};
constexpr std::array kStatusNumbers{&DaemonStatus::process,
                                    &DaemonStatus::uptime_seconds,
                                    &DaemonStatus::keys,
                                    &DaemonStatus::connections,
                                    &DaemonStatus::fetches,
                                    &DaemonStatus::reports,
                                    &DaemonStatus::operations,
                                    &DaemonStatus::memory_in_use_bytes,
                                    &DaemonStatus::memory_capacity_bytes};
constexpr std::size_t kStatusParts = kStatusTexts.size() + kStatusNumbers.size();

void write_status(CborWriter& writer, const DaemonStatus& status) {
  writer.array(kStatusParts);
  for (const auto member : kStatusTexts) writer.text(status.*member);
  for (const auto member : kStatusNumbers) writer.number(status.*member);
}

Status read_status(CborReader& reader, std::optional<DaemonStatus>& into) {
  const std::size_t parts = VHSM_TRY(reader.array());
  if (parts != kStatusParts) return fail(Errc::kBadFormat, "a status of another size");
  DaemonStatus& status = into.emplace();
  for (const auto member : kStatusTexts) status.*member = VHSM_TRY(reader.text());
  for (const auto member : kStatusNumbers) status.*member = VHSM_TRY(reader.number());
  return {};
}

Status read_secret_size(CborReader& reader, SecretBytes& secret) {
  std::size_t size = 0;
  VHSM_TRY(read_number(reader, size, 1, kMaxReleasedBytes));
  return read_into(secret, SecretBytes::zeros(size));
}

Status read_field(Field field, CborReader& reader, Reply& reply) {
  switch (field) {
    case Field::kError: return read_error(reader, reply.error);
    case Field::kPublicKey: {
      const ByteView key = VHSM_TRY(reader.bytes());
      reply.public_key.assign(key.begin(), key.end());
      return {};
    }
    case Field::kOutput: {
      const ByteView output = VHSM_TRY(reader.bytes());
      reply.output.bytes().assign(output.begin(), output.end());
      return {};
    }
    case Field::kCertificates:
      return read_list(reader, reply.certificates, std::mem_fn(&CborReader::bytes));
    case Field::kLines: return read_list(reader, reply.lines, std::mem_fn(&CborReader::text));
    case Field::kStatus: return read_status(reader, reply.status);
    case Field::kKeeping:
      return read_number(reader, reply.keeping, 0, static_cast<std::uint64_t>(Keeping::kInMemory));
    case Field::kSize: return read_number(reader, reply.size, 1, kMaxReleasedBytes);
    case Field::kSecret: return read_secret_size(reader, reply.secret);
    case Field::kKeyVersion: return read_number(reader, reply.version, 1, UINT32_MAX);
    default: return fail(Errc::kBadFormat, "a field that answers do not have");
  }
}

void write_operation(MapWriter& map, const Request& request) {
  map.field(Field::kKind).number(static_cast<std::uint64_t>(request.kind));
  if (!request.digest.empty()) map.field(Field::kDigest).text(request.digest);
  if (!request.peer.empty()) map.field(Field::kPeer).bytes(request.peer);
  if (!request.input.empty()) map.field(Field::kInput).bytes(request.input);
  map.field(Field::kCapacity).number(request.capacity);
}

void write_use(MapWriter& map, const Request& request) {
  if (!request.input.empty()) map.field(Field::kInput).bytes(request.input);
  map.field(Field::kCapacity).number(request.capacity);
  write_step(map.field(Field::kStep), request.step);
}

}  // namespace

Message::~Message() { wipe(0, bytes_.size()); }

void Message::wipe(std::size_t from, std::size_t to) noexcept {
  OPENSSL_cleanse(bytes_.data() + from, to - from);
}

void Message::reserve(std::size_t size) {
  if (size <= bytes_.capacity()) return;
  Message larger;
  larger.bytes_.reserve(size);
  larger.bytes_.assign(bytes_.begin(), bytes_.end());
  bytes_.swap(larger.bytes_);
}

void Message::resize(std::size_t size) {
  reserve(size);
  bytes_.resize(size);
}

void Message::append(ByteView more) {
  const std::size_t size = bytes_.size() + more.size();
  if (size > bytes_.capacity()) reserve(std::max(size, 2 * bytes_.capacity()));
  bytes_.insert(bytes_.end(), more.begin(), more.end());
}

Message encode(const Request& request) {
  Message message;
  message.bytes().reserve(request.input.size() + 1024);  // growing would leave copies behind
  MapWriter map(message);
  map.field(Field::kAsk).number(static_cast<std::uint64_t>(request.ask));
  if (!request.name.empty()) map.field(Field::kName).text(request.name);
  if (request.version != 0) map.field(Field::kKeyVersion).number(request.version);
  if (!request.public_key.empty()) map.field(Field::kPublicKey).bytes(request.public_key);
  if (request.wait.count() > 0) {
    map.field(Field::kWait).number(static_cast<std::uint64_t>(request.wait.count()));
  }
  if (request.ask == Ask::kOperate) write_operation(map, request);
  if (!request.params.empty()) request.params.write(map.field(Field::kParams));
  if (!request.type.empty()) map.field(Field::kType).text(request.type);
  if (!request.policy.empty()) map.field(Field::kPolicy).text(request.policy);
  if (request.ask == Ask::kUseSecret) write_use(map, request);
  if (request.ask == Ask::kAttest) map.field(Field::kInput).bytes(request.input);
  if (!request.rule.kind.empty()) {
    CborWriter& writer = map.field(Field::kRule);
    writer.array(2);
    writer.text(request.rule.kind);
    writer.text(request.rule.value);
  }
  map.finish();
  return message;
}

Message encode(const Reply& reply) {
  Message message;
  message.bytes().reserve(reply.output.bytes().size() + 1024);
  MapWriter map(message);
  if (reply.error.has_value()) {
    write_error(map.field(Field::kError), *reply.error);
    map.finish();
    return message;
  }
  if (!reply.public_key.empty()) map.field(Field::kPublicKey).bytes(reply.public_key);
  if (!reply.certificates.empty()) {
    CborWriter& writer = map.field(Field::kCertificates);
    writer.array(reply.certificates.size());
    for (const auto& certificate : reply.certificates) writer.bytes(certificate);
  }
  if (reply.keeping != Keeping::kStored) {
    map.field(Field::kKeeping).number(static_cast<std::uint64_t>(reply.keeping));
  }
  if (reply.version != 0) map.field(Field::kKeyVersion).number(reply.version);
  if (reply.size != 0) map.field(Field::kSize).number(reply.size);
  if (reply.secret.size() != 0) map.field(Field::kSecret).number(reply.secret.size());
  if (!reply.output.bytes().empty()) map.field(Field::kOutput).bytes(reply.output.bytes());
  if (reply.status.has_value()) write_status(map.field(Field::kStatus), *reply.status);
  if (!reply.lines.empty()) {
    CborWriter& writer = map.field(Field::kLines);
    writer.array(reply.lines.size());
    for (const auto& line : reply.lines) writer.text(line);
  }
  map.finish();
  return message;
}

Result<Request> decode_request(ByteView message) {
  Request request;
  VHSM_TRY(read_map(message, [&](Field field, CborReader& reader) {
    return read_field(field, reader, request);
  }));
  return request;
}

Result<Reply> decode_reply(ByteView message) {
  Reply reply;
  VHSM_TRY(read_map(
      message, [&](Field field, CborReader& reader) { return read_field(field, reader, reply); }));
  return reply;
}

Result<std::size_t> decode_length(std::span<const std::uint8_t, kLengthBytes> head) {
  std::size_t size = 0;
  for (const std::uint8_t byte : head) size = size << 8 | byte;
  if (size == 0 || size > kMaxMessageBytes) {
    return fail(Errc::kBadFormat, "the length of a message is out of range");
  }
  return size;
}

}  // namespace vhsm::keystore
