// SPDX-License-Identifier: Apache-2.0
//
// bench_handshake: CPU time of nginx's worker for a full TLS handshake, with a vhsm key against the
// same key in a file: two servers side by side, short rounds in turns, medians. The client's time
// does not count, nor does waiting. Two servers that are alike in everything differ by up to 2 %
// for as long as they live, by where the kernel put their pages; so they are started anew again and
// again. With $PKCS11_OPENSSL_CONF and a token as scripts/bench.sh makes it, pkcs11-provider is
// measured beside them. Options by environment: BENCH_STARTS (10), BENCH_ROUNDS after each (41),
// BENCH_HANDSHAKES in a round (40).
#include <sched.h>

#include <openssl/crypto.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/servers/fixture.h"
#include "tests/servers/load.h"

namespace vhsm::tests {
namespace {

int number_from(const char* variable, int otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::max(1, std::atoi(text));
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Nanoseconds that the process has run.
double cpu_time(pid_t process) {
  return std::stod(read_file("/proc/" + std::to_string(process) + "/schedstat"));
}

/// The worker has a processor of its own, where there are two: the client's code, which is the
/// server's as well, must not warm its caches.
void pin(pid_t process, std::size_t processor) {
  if (std::thread::hardware_concurrency() < 2) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  ::sched_setaffinity(process, sizeof set, &set);
}

/// One nginx with one worker.
class Subject {
 public:
  Subject(World& world, const std::filesystem::path& identity, const std::string& openssl_conf)
      : nginx_(world, identity) {
    nginx_.set_workers(1);
    if (!openssl_conf.empty()) nginx_.use_openssl_conf(openssl_conf);
    nginx_.add_directive("env SOFTHSM2_CONF");
    failure_ = nginx_.start();
    if (failure_.empty()) pin(nginx_.workers()[0], 0);
  }
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

  /// Several clients, so that the worker never waits: that is what capacity means.
  /// @return microseconds of the worker for one handshake.
  double measure(int handshakes, int version) {
    const pid_t worker = nginx_.workers()[0];
    const double before = cpu_time(worker);
    {
      std::vector<std::jthread> clients;
      for (int client = 0; client < kClients; ++client) {
        clients.emplace_back([&] { shake_often(handshakes / kClients, version); });
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the last one ends
    return (cpu_time(worker) - before) / handshakes / 1000;
  }

 private:
  static constexpr int kClients = 4;

  void shake_often(int handshakes, int version) const {
    pin(0, 1);
    for (int i = 0; i < handshakes; ++i) {
      const auto problem = shake_hands(nginx_.port(), {version});
      ASSERT_EQ(problem, "");
    }
  }

  Nginx nginx_;
  std::string failure_;
};

struct Figures {
  std::vector<double> file;
  std::vector<double> ratio;
  std::vector<double> token_ratio;
};

class HandshakeBench : public ServersTest {
 protected:
  void SetUp() override {
    ServersTest::SetUp();
    const char* const conf = std::getenv("PKCS11_OPENSSL_CONF");
    if (conf != nullptr) pkcs11_conf_ = conf;
    std::printf("%s, %d times %d rounds of %d full handshakes\n", OpenSSL_version(OPENSSL_VERSION),
                starts_, rounds_, handshakes_);
  }

  void compare(const std::string& kind, const std::string& name) {
    make_identity(world, kind);  // makes the one with the key as well
    if (!pkcs11_conf_.empty()) token_identity(kind, name);
    std::map<int, Figures> figures;
    for (int start = 0; start < starts_; ++start) run_start(kind, figures);
    for (const auto& [version, found] : figures) print(name, version, found);
  }

 private:
  static constexpr const char* kSystemConf = "/etc/ssl/openssl.cnf";

  void run_start(const std::string& kind, std::map<int, Figures>& figures) {
    Subject held(world, world.file(kind + "-vhsm.pem"), "");
    Subject file(world, world.file(kind + "-file.pem"), kSystemConf);
    ASSERT_EQ(held.failure() + file.failure(), "");
    std::unique_ptr<Subject> token;
    if (!pkcs11_conf_.empty()) {
      token = std::make_unique<Subject>(world, world.file(kind + "-pkcs11.pem"), pkcs11_conf_);
      ASSERT_EQ(token->failure(), "");
    }
    for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
      run_rounds(held, file, token.get(), version, figures[version]);
    }
  }

  void run_rounds(Subject& held, Subject& file, Subject* token, int version,
                  Figures& figures) const {
    for (int round = 0; round < rounds_; ++round) {
      const bool held_first = round % 2 == 0;
      const double first = (held_first ? held : file).measure(handshakes_, version);
      const double second = (held_first ? file : held).measure(handshakes_, version);
      figures.file.push_back(held_first ? second : first);
      figures.ratio.push_back(held_first ? first / second : second / first);
      if (token == nullptr) continue;
      figures.token_ratio.push_back(token->measure(handshakes_, version) / figures.file.back());
    }
  }

  static void print(const std::string& name, int version, const Figures& figures) {
    std::printf("%-9s TLS 1.%d   file %6.0f us   vhsm x %.3f", name.c_str(),
                version == TLS1_3_VERSION ? 3 : 2, median(figures.file), median(figures.ratio));
    if (!figures.token_ratio.empty()) {
      std::printf("   pkcs11-provider+SoftHSM x %.2f", median(figures.token_ratio));
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  /// The token's key and a certificate for it, in the files that pkcs11-provider knows.
  void token_identity(const std::string& kind, const std::string& label) const {
    const auto path = world.file(kind + "-pkcs11.pem");
    const std::string uri = "pkcs11:object=" + label + ";type=private";
    const Outcome made = run({"openssl", "req", "-x509", "-new", "-key", uri, "-days", "1", "-subj",
                              "/CN=token", "-out", path},
                             {"OPENSSL_CONF=" + pkcs11_conf_});
    EXPECT_EQ(made.status, 0) << made.err;
    const Outcome reference =
        run({"openssl", "pkey", "-in", uri}, {"OPENSSL_CONF=" + pkcs11_conf_});
    EXPECT_EQ(reference.status, 0) << reference.err;
    write_file(path, read_file(path) + reference.out);
  }

  std::string pkcs11_conf_;
  int starts_ = number_from("BENCH_STARTS", 10);
  int rounds_ = number_from("BENCH_ROUNDS", 41);
  int handshakes_ = number_from("BENCH_HANDSHAKES", 40);
};

TEST_F(HandshakeBench, Rsa2048) { compare("rsa", "RSA-2048"); }

TEST_F(HandshakeBench, P256) { compare("ec", "P-256"); }

}  // namespace
}  // namespace vhsm::tests
