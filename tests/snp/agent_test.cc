// SPDX-License-Identifier: Apache-2.0
//
// The attestation agent of Confidential Containers: what goes over its socket, and agents that lie,
// stall or are not there.
#include "snp/agent.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "snp/emulator.h"
#include "snp/evidence_json.h"
#include "tests/base/temp_dir.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using namespace std::literals;

std::string field(char number, const std::string& bytes) {
  std::string size;
  std::size_t left = bytes.size();
  for (; left > 127; left /= 128) size += static_cast<char>(128 + left % 128);
  size += static_cast<char>(left);
  return static_cast<char>(number * 8 + 2) + size + bytes;
}

std::string frame(const std::string& data, char stream = 1, char type = 2) {
  std::string head;
  for (int shift = 24; shift >= 0; shift -= 8) head += static_cast<char>(data.size() >> shift);
  return head + "\0\0\0"s + stream + type + "\0"s + data;
}

std::string answer_with(const Evidence& evidence) {
  return field(2, field(1, to_json(evidence).dump()));
}

/// Answers each connection's request with what `answer` makes of its REPORT_DATA.
class FakeAgent {
 public:
  using Answer = std::function<std::string(const ReportData&)>;

  explicit FakeAgent(Answer answer) : answer_(std::move(answer)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path(), address.sun_path);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    thread_ = std::thread([this] { serve(); });
  }
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;
  ~FakeAgent() {
    ending_ = true;
    thread_.join();
    ::close(listener_);
  }

  [[nodiscard]] std::string path() const { return folder_.file("agent.sock"); }
  [[nodiscard]] std::string platform() const { return "agent:" + path(); }

 private:
  void serve() {
    while (!ending_) {
      pollfd one{listener_, POLLIN, 0};
      if (::poll(&one, 1, 10) != 1) continue;
      const int descriptor = ::accept(listener_, nullptr, nullptr);
      std::array<char, 4096> request{};
      const ssize_t size = ::recv(descriptor, request.data(), request.size(), 0);
      ReportData data{};
      EXPECT_GT(size, static_cast<ssize_t>(data.size()));
      std::copy_n(request.begin() + size - 64, 64, data.begin());  // it stands last
      const std::string answer = answer_(data);
      ::send(descriptor, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(descriptor);
    }
  }

  test::TempDir folder_;
  Answer answer_;
  int listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

std::unique_ptr<Platform> emulated_vm() { return open_emulator(VHSM_TEST_EMULATOR, {}).value(); }

std::string outcome_of(const FakeAgent& agent, TimePoint deadline = kNoDeadline) {
  const auto platform = open_platform(agent.platform(), {});
  EXPECT_EQ(outcome(platform), "ok");
  return outcome(platform.value()->attest(ReportData{1, 2, 3}, deadline));
}
std::string outcome_of(const std::string& answer) {
  return outcome_of(FakeAgent([answer](const ReportData&) { return answer; }));
}

TEST(Agent, IsAskedAsItsProtocolSays) {
  const std::string data(64, 'x');
  EXPECT_EQ(agent_request({reinterpret_cast<const std::uint8_t*>(data.data()), data.size()}),
            "\0\0\0\x7c\0\0\0\1\1\0"s +  //
                "\x0a\x29"
                "attestation_agent.AttestationAgentService" +
                "\x12\x0b"
                "GetEvidence" +
                "\x1a\x42\x0a\x40" + data);
}

TEST(Agent, GivesEvidenceForWhatIsAskedFor) {
  const auto vm = emulated_vm();
  const FakeAgent agent([&](const ReportData& data) {
    return frame(answer_with(vm->attest(data, kNoDeadline).value()));
  });
  const auto platform = open_platform(agent.platform(), {}).value();
  EXPECT_EQ(platform->info().kind, "agent");
  for (const std::uint8_t byte : std::array<std::uint8_t, 2>{1, 2}) {
    ReportData data{};
    data[0] = byte;
    const auto evidence = platform->attest(data, Clock::now() + 10s);
    ASSERT_EQ(outcome(evidence), "ok");
    const auto direct = vm->attest(data, kNoDeadline).value();
    EXPECT_EQ(evidence.value().certificates.size(), direct.certificates.size());
    EXPECT_EQ(evidence.value().report[0x50], byte);
  }
}

TEST(Agent, WithARecordedReportIsNotBelieved) {
  const std::string recorded = frame(answer_with(emulated_vm()->attest({}, kNoDeadline).value()));
  EXPECT_THAT(outcome_of(recorded), testing::StartsWith("platform failure"));
}

TEST(Agent, ThatRefusesIsAFailureOfThePlatform) {
  EXPECT_EQ(outcome_of(frame(field(1, "\x08\x02"s + field(2, "no device")))),
            "platform failure: the attestation agent gives no evidence");
}

TEST(Agent, ThatTalksNonsenseIsRefused) {
  const std::string good = answer_with(emulated_vm()->attest({1, 2, 3}, kNoDeadline).value());
  ASSERT_EQ(outcome_of(frame(good)), "ok");
  EXPECT_NE(outcome_of(""), "ok");
  EXPECT_NE(outcome_of("HTTP/1.1 400 Bad Request\r\n\r\n"), "ok");
  EXPECT_NE(outcome_of(frame(good, 3)), "ok") << "another stream";
  EXPECT_NE(outcome_of(frame(good, 1, 1)), "ok") << "a request";
  EXPECT_NE(outcome_of(frame("")), "ok");
  EXPECT_NE(outcome_of(frame(field(2, field(1, "{}")))), "ok");
  EXPECT_NE(outcome_of(frame(field(2, field(1, "nonsense")))), "ok");
  EXPECT_NE(outcome_of("\xff\xff\xff\xff\0\0\0\1\2\0"s), "ok") << "4 GiB";
  EXPECT_NE(outcome_of(frame(good).substr(0, 2000)), "ok");
}

TEST(Agent, TruncatedAnywhereIsNoEvidence) {
  const std::string good = answer_with(emulated_vm()->attest({}, kNoDeadline).value());
  EXPECT_TRUE(agent_evidence(good).ok());
  for (std::size_t size = 0; size < good.size(); size += size < 64 ? 1 : 101) {
    EXPECT_FALSE(agent_evidence(std::string_view(good).substr(0, size)).ok()) << size;
  }
  for (const char* bad :
       {"\xff", "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x13", "\x11"}) {
    EXPECT_FALSE(agent_evidence(bad).ok());
  }
}

TEST(Agent, ThatDoesNotAnswerCostsTheDeadline) {
  std::atomic<bool> over{false};
  const FakeAgent agent([&](const ReportData&) {
    while (!over) std::this_thread::sleep_for(5ms);
    return ""s;
  });
  const auto start = Clock::now();
  EXPECT_EQ(outcome_of(agent, start + 200ms),
            "platform failure: the attestation agent did not answer in time");
  EXPECT_LT(Clock::now() - start, 5s);
  over = true;
}

TEST(Agent, ThatIsNotThereIsNamed) {
  const test::TempDir folder;
  EXPECT_EQ(open_platform("agent:" + folder.file("none"), {}).error().code, Errc::kNoPlatform);
  EXPECT_EQ(open_platform("agent:/" + std::string(200, 'x'), {}).error().code, Errc::kBadConfig);
  const auto dead = open_platform("agent:" + folder.write("file", ""), {});
  ASSERT_EQ(outcome(dead), "ok");
  const auto evidence = dead.value()->attest({}, kNoDeadline);
  EXPECT_EQ(evidence.error().code, Errc::kPlatform);
  EXPECT_EQ(evidence.error().subject.text(), folder.file("file"));
}

}  // namespace
}  // namespace vhsm::snp
