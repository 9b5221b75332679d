// SPDX-License-Identifier: Apache-2.0
//
// docs/vhsmd-protocol.md says what vhsmd does: its tables are read and compared, its example is
// played.
#include <gmock/gmock.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <limits>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "keystore/daemon/remote_keystore.h"
#include "keystore/daemon/service.h"
#include "tests/vhsmd/running_daemon.h"

namespace vhsm::keystore {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// ---- reading the document ----

std::string document() {
  std::ifstream file(VHSM_SOURCE_DIR "/docs/vhsmd-protocol.md");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// From the heading to the next one.
std::string section(const std::string& title) {
  const std::string text = document();
  const std::size_t begin = text.find("\n## " + title + "\n");
  EXPECT_NE(begin, std::string::npos) << title;
  return text.substr(begin, text.find("\n## ", begin + 1) - begin);
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

using Row = std::vector<std::string>;

/// The rows whose first cell is a number.
std::vector<Row> rows_of(const std::string& text) {
  std::vector<Row> rows;
  for (const std::string& line : lines_of(text)) {
    if (!std::regex_search(line, std::regex("^\\| *[0-9]+ "))) continue;
    std::istringstream cells(line.substr(1));
    Row row;
    for (std::string cell; std::getline(cells, cell, '|');) row.push_back(trimmed(cell));
    rows.push_back(row);
  }
  return rows;
}

// ---- fields ----

/// Writes a value of the type that a cell describes: "unsigned", "`[text, bytes]`", "array of
/// text".
void write_sample(CborWriter& writer, std::string type, std::uint64_t number) {
  std::erase(type, '`');
  const std::string list = "array of ";
  if (type == "array of 3 texts and 9 unsigned") type = "[t,t,t,u,u,u,u,u,u,u,u,u]";
  if (type.starts_with(list)) {
    writer.array(1);
    return write_sample(writer, type.substr(list.size()), number);
  }
  if (type.starts_with('[')) {
    writer.array(static_cast<std::size_t>(std::ranges::count(type, ',')) + 1);
    std::istringstream parts(type.substr(1, type.find(']') - 1));
    for (std::string part; std::getline(parts, part, ',');) {
      write_sample(writer, trimmed(part), number);
    }
    return;
  }
  constexpr std::array<std::uint8_t, sizeof(int)> kBytes{};  // an integer's, of a parameter
  if (type.starts_with('u')) return writer.number(number);
  if (type.starts_with('t')) return writer.text("x");
  ASSERT_TRUE(type.starts_with('b')) << type;
  writer.bytes(kBytes);
}

/// A message with one field beside the version.
Bytes message_with(const Row& field, std::uint64_t number) {
  Bytes bytes;
  CborWriter writer(bytes);
  const std::uint64_t key = std::stoull(field[0]);
  writer.map(key == 0 ? 1 : 2);
  if (key != 0) {
    writer.number(0);
    writer.number(kProtocolVersion);
  }
  writer.number(key);
  write_sample(writer, field[2], number);
  return bytes;
}

bool is_request(const Row& field, std::uint64_t number = 1) {
  return decode_request(message_with(field, number)).ok();
}
bool is_answer(const Row& field, std::uint64_t number = 1) {
  return decode_reply(message_with(field, number)).ok();
}
bool is_taken(const Row& field, std::uint64_t number) {
  return is_request(field, number) || is_answer(field, number);
}

class ProtocolDocument : public KeystoreTest {};

constexpr std::size_t kLimit = 3;
constexpr std::size_t kIn = 4;

TEST_F(ProtocolDocument, NamesEveryFieldAndWhereItStands) {
  const auto fields = rows_of(section("Fields"));
  ASSERT_THAT(fields, Not(IsEmpty()));
  for (std::size_t i = 0; i < fields.size(); ++i) {
    EXPECT_EQ(fields[i][0], std::to_string(i));
    EXPECT_EQ(is_request(fields[i]), fields[i][kIn] != "answer") << fields[i][1];
    EXPECT_EQ(is_answer(fields[i]), fields[i][kIn] != "request") << fields[i][1];
  }
  Row unknown = fields.back();
  unknown[0] = std::to_string(fields.size());
  for (const char* const type : {"unsigned", "text", "bytes", "array of text"}) {
    unknown[2] = type;
    EXPECT_FALSE(is_taken(unknown, 1)) << type;
  }
}

TEST_F(ProtocolDocument, SaysWhichNumbersAFieldTakes) {
  const std::regex range("([0-9]+) to ([0-9]+)");
  int found = 0;
  for (const Row& field : rows_of(section("Fields"))) {
    std::smatch ends;
    if (!std::regex_match(field[kLimit], ends, range)) continue;
    ++found;
    const std::uint64_t least = std::stoull(ends[1]);
    const std::uint64_t most = std::stoull(ends[2]);
    EXPECT_TRUE(is_taken(field, least) && is_taken(field, most)) << field[1];
    EXPECT_FALSE(is_taken(field, most + 1)) << field[1];
    EXPECT_TRUE(least == 0 || !is_taken(field, least - 1)) << field[1];
  }
  EXPECT_GE(found, 7);
}

// ---- asks, errors ----

constexpr uid_t kSomebody = 8;
constexpr std::size_t kWho = 4;

class ProtocolDocumentTest : public ServerTest {
 protected:
  [[nodiscard]] Service service() const {
    std::shared_ptr<HoldingKeystore> keystore =
        make_memory_keystore(source(), {}, std::make_shared<Metrics>());
    return {std::move(keystore), grants_, Log(), [] { return DaemonStatus(); }};
  }
  static Peer somebody() { return {kSomebody, kSomebody, {}, 1, ""}; }

  /// Whether a user who is no owner gets past the question whether he may.
  [[nodiscard]] bool may_ask(Ask ask) const {
    Service asked = service();
    if (ask == Ask::kTakeOver) return asked.may_take_over(somebody()).ok();
    const Reply reply = asked.answer({.ask = ask, .name = kEd}, somebody());
    return !reply.error.has_value() || reply.error->code != Errc::kNotGranted;
  }

  std::shared_ptr<Grants> grants_ = Grants::load("", ::geteuid()).value();
};

TEST_F(ProtocolDocumentTest, SaysWhoMayAskWhat) {
  const auto asks = rows_of(section("Requests"));
  std::vector<Row> named;
  std::ranges::copy_if(asks, std::back_inserter(named),
                       [](const Row& row) { return row.size() > kWho; });
  ASSERT_THAT(named, SizeIs(static_cast<std::size_t>(Ask::kLast)));
  for (std::size_t i = 0; i < named.size(); ++i) {
    EXPECT_EQ(named[i][0], std::to_string(i + 1));
    EXPECT_EQ(may_ask(static_cast<Ask>(i + 1)), named[i][kWho] == "everyone") << named[i][1];
  }
  const Rule rule = parse_rule(Rule::Kind::kUser, std::to_string(kSomebody)).value();
  ASSERT_TRUE(grants_->grant(uri(kEd).name, rule).ok());
  for (std::size_t i = 0; i < named.size(); ++i) {
    EXPECT_EQ(may_ask(static_cast<Ask>(i + 1)), named[i][kWho] != "owners") << named[i][1];
  }
}

TEST_F(ProtocolDocument, NamesEveryError) {
  const std::string text = section("Errors");
  const std::regex cell("\\| ([0-9]+) ([^|]+?) (?=\\|)");
  std::size_t count = 0;
  for (std::sregex_iterator one(text.begin(), text.end(), cell), end; one != end; ++one) {
    EXPECT_EQ((*one)[2], reason(static_cast<Errc>(std::stoi((*one)[1])))) << (*one)[1];
    ++count;
  }
  EXPECT_EQ(count, static_cast<std::size_t>(Errc::kLast));
}

// ---- waiting ----

/// "20 s", "10 minutes".
std::string words_of(std::chrono::milliseconds wait) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(wait).count();
  return seconds % 60 == 0 ? std::to_string(seconds / 60) + " minutes"
                           : std::to_string(seconds) + " s";
}

TEST_F(ProtocolDocument, NamesHowLongVhsmsClientWaitsForAnAnswer) {
  const std::string text = section("Repeating");
  const std::string least = words_of(kAnswerWait);
  for (const std::string& row :
       {"| enable, disable, set policy, remove | " + words_of(kManagementWait) + " |",
        "| generate, rotate | " + words_of(kGenerationWait) + " |",
        "| open, open secret, release | " + least + " more than `wait` says |",
        "| attest | " + least + " more than `fetch_timeout` in vhsm.cnf(5) |",
        "| all others | " + least + " |"}) {
    EXPECT_THAT(text, ::testing::HasSubstr(row));
  }
}

// ---- the example ----

std::uint8_t byte_of(const std::string& hex, std::size_t at) {
  return static_cast<std::uint8_t>(std::stoi(hex.substr(at, 2), nullptr, 16));
}

/// What the indented lines of hexadecimal digits spell, one message after the other.
std::vector<Bytes> messages_of(const std::string& text) {
  const std::regex hex_line("^    ([0-9a-f]{2,})( .*)?$");
  Bytes all;
  for (const std::string& line : lines_of(text)) {
    std::smatch found;
    if (!std::regex_match(line, found, hex_line)) continue;
    const std::string hex = found[1];
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) all.push_back(byte_of(hex, i));
  }
  std::vector<Bytes> messages;
  for (std::span<const std::uint8_t> rest(all); rest.size() >= kLengthBytes;) {
    const std::size_t size = kLengthBytes + decode_length(rest.first<kLengthBytes>()).value();
    const auto one = rest.first(std::min(size, rest.size()));
    messages.emplace_back(one.begin(), one.end());
    rest = rest.subspan(one.size());
  }
  return messages;
}

/// RFC 8032, section 7.1, TEST 2.
std::string key_of_rfc8032() {
  const std::string hex = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
  Bytes seed;
  for (std::size_t i = 0; i < hex.size(); i += 2) seed.push_back(byte_of(hex, i));
  const ossl::PKey key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  return pkcs8_pem(key.get());
}

class ProtocolExampleTest : public KeystoreTest {
 protected:
  Bytes answer(const Bytes& message, const Peer& peer) {
    const auto request = decode_request(ByteView(message).subspan(kLengthBytes));
    EXPECT_TRUE(request.ok());
    return encode(service_.answer(request.value(), peer)).bytes();
  }

  static constexpr uid_t kOwner = 990;
  Service service_{make_memory_keystore(std::make_shared<Source>(std::map<std::string, std::string>{
                                            {"default/tls/ed", key_of_rfc8032()}}),
                                        {}, std::make_shared<Metrics>()),
                   Grants::load("", kOwner).value(), Log(), [] { return DaemonStatus(); }};
};

TEST_F(ProtocolExampleTest, IsAnsweredByteForByteAsTheDocumentSays) {
  const auto messages = messages_of(section("Example"));
  ASSERT_THAT(messages, SizeIs(5));
  const Peer owner{kOwner, kOwner, {}, 1, ""};
  EXPECT_EQ(answer(messages[0], owner), messages[1]) << "open";
  EXPECT_EQ(answer(messages[2], owner), messages[3]) << "sign";
  EXPECT_EQ(answer(messages[2], {kSomebody, kSomebody, {}, 1, ""}), messages[4]) << "no grant";
}

}  // namespace
}  // namespace vhsm::keystore
