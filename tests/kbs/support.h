// SPDX-License-Identifier: Apache-2.0
//
// A real vhsm-kbs on a loopback port with TLS, a client that speaks the protocol word for word, and
// an emulated VM.
#pragma once

#include <httplib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "jose/json.h"
#include "jose/tee_key.h"
#include "kbs/init.h"
#include "kbs/kbs.h"
#include "kbs/server.h"
#include "snp/emulator.h"

namespace vhsm::kbs {

using jose::Json;

/// A folder that lives as long as the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

[[nodiscard]] std::string read_text(const std::string& path);
void write_text(const std::string& path, std::string_view text);
[[nodiscard]] SecretBytes secret(std::string_view text);
[[nodiscard]] std::string text(const SecretBytes& secret);

/// The measurement of the tests' emulator, hex.
[[nodiscard]] std::string emulator_measurement();
[[nodiscard]] std::string emulator_root();

/// The parts of /attest, for a test to bend before it is sent.
struct Attestation {
  std::string nonce;     ///< in runtime-data
  jose::TeeJwk tee_key;  ///< in runtime-data
  snp::Evidence evidence;
  [[nodiscard]] Json body() const;
};

class KbsTest : public testing::Test {
 protected:
  KbsTest();
  ~KbsTest() override;

  /// Starts the server after `change` had its way with the configuration.
  void start(const std::function<void(Config&)>& change = [](Config&) {});

  [[nodiscard]] std::unique_ptr<httplib::SSLClient> client() const;
  [[nodiscard]] std::unique_ptr<snp::Platform> vm(const std::string& folder = "") const;

  /// Steps of a client; each expects success.
  void auth();
  [[nodiscard]] Attestation attestation(snp::Platform& platform) const;
  void attest();

  /// Requests with this session's cookie.
  httplib::Result post_attest(const Json& body);
  httplib::Result get_resource(const std::string& path);

  /// "STATUS Variant" of an error, with its form checked.
  static std::string refusal(const httplib::Result& result);

  /// "event outcome reason" of the last audit row.
  std::string last_audit();

  void advance(std::chrono::seconds by) { skew_ += by.count(); }

  TemporaryFolder folder_;
  std::unique_ptr<Kbs> kbs_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
  std::atomic<std::int64_t> skew_{0};
  std::unique_ptr<httplib::SSLClient> http_;
  std::string cookie_;
  std::string nonce_;
  std::string token_;
  Result<jose::TeeKey> key_;
};

}  // namespace vhsm::kbs
