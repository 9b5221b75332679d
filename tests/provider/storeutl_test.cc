// SPDX-License-Identifier: Apache-2.0
//
// Lists, searches and named generation as users do them: with the system's openssl command.
#include <stdio.h>
#include <sys/wait.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// What is before each object that is found; newer commands say nothing when there is none.
constexpr const char* kFirstObject = "0: ";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

std::string hex(const unsigned char* bytes, std::size_t size) {
  std::string text;
  std::array<char, 3> digits{};
  for (std::size_t i = 0; i < size; ++i) {
    std::snprintf(digits.data(), digits.size(), "%02X", bytes[i]);
    text += digits.data();
  }
  return text;
}

std::string sha256_hex(const Bytes& bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(bytes.data(), bytes.size(), digest.data());
  return hex(digest.data(), digest.size());
}

class StoreutlTest : public ::testing::Test {
 protected:
  StoreutlTest() {
    const auto key = host_.generate("EC", {}, kDefault);
    const auto certificate =
        self_signed(host_, key.get(), "SHA256", {.name = "www", .serial = "4660"});
    const ossl::Bio pem(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(pem.get(), certificate.get());
    const Bytes text = contents(pem.get());
    folder_.put("www", private_pem(key.get()) + std::string(text.begin(), text.end()));
    fingerprint_ = sha256_hex(public_der(key.get()));
  }

  /// What `openssl storeutl` with our module and default prints; errors too.
  std::string storeutl(const std::string& options, bool good = true) const {
    return run("storeutl -provider-path " VHSM_MODULE_DIR
               " -provider vhsm_files -provider default " +
                   options,
               good);
  }

  std::string run(const std::string& command, bool good = true) const {
    return shell("openssl " + command, good);
  }

  std::string shell(const std::string& command, bool good) const {
    const std::string whole = "cd " + folder_.path() + " && " + command + " 2>&1";
    FILE* const output = ::popen(whole.c_str(), "r");
    std::string text;
    std::array<char, 4096> part{};
    while (std::fgets(part.data(), part.size(), output) != nullptr) text += part.data();
    const int status = ::pclose(output);
    EXPECT_EQ(WIFEXITED(status) && WEXITSTATUS(status) == 0, good) << whole << "\n" << text;
    return text;
  }

  const KeyFolder folder_;
  const Host host_{"vhsm_files"};
  const std::string uri_ = "vhsm:default/test/www";
  std::string fingerprint_;
};

TEST_F(StoreutlTest, AKeyYieldsItsObjectsAndTheKindThatIsAskedFor) {
  EXPECT_THAT(storeutl("-noout " + uri_), HasSubstr("Total found: 2"));
  const std::string key = storeutl("-keys " + uri_);
  EXPECT_THAT(key, HasSubstr("BEGIN VHSM KEY URI"));
  EXPECT_THAT(key, HasSubstr("Total found: 1"));
  const std::string certificates = storeutl("-certs " + uri_);
  EXPECT_THAT(certificates, HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_THAT(certificates, HasSubstr("Total found: 1"));
  EXPECT_THAT(storeutl("-crls " + uri_), Not(HasSubstr(kFirstObject)));
  EXPECT_THAT(storeutl("-noout -text " + uri_), HasSubstr("VHSM EC Private-Key, " + uri_));
}

TEST_F(StoreutlTest, EachSearchFindsTheObjectsOfTheKey) {
  const std::array<std::string, 5> searches{
      "-certs -subject /CN=www", "-certs -issuer /CN=www -serial 4660", "-alias www",
      "-keys -sha256 -fingerprint " + fingerprint_, "-keys -alias default/test/www"};
  for (const std::string& search : searches) {
    const std::string found = storeutl(search + " " + uri_);
    EXPECT_THAT(found, HasSubstr(kFirstObject)) << search;
  }
  for (const std::string search :
       {"-certs -subject /CN=other", "-certs -issuer /CN=www -serial 4661", "-alias ww",
        "-keys -sha256 -fingerprint 00000000000000000000000000000000"
        "00000000000000000000000000000000"}) {
    EXPECT_THAT(storeutl(search + " " + uri_), Not(HasSubstr(kFirstObject))) << search;
  }
}

TEST_F(StoreutlTest, AFolderListsNamesAndOpensThemWithR) {
  if (std::getenv("VHSM_TEST_SOCKET") == nullptr) {
    EXPECT_THAT(storeutl("vhsm:"), Not(HasSubstr(kFirstObject))) << "a process begins without keys";
    return;
  }
  ASSERT_NE(host_.open(uri_), nullptr) << take_errors();
  ASSERT_NE(host_.open(folder_.uri("ED25519")), nullptr) << take_errors();
  const std::string names = storeutl("vhsm:default/");
  EXPECT_THAT(names, HasSubstr("0: Name: vhsm:default/test/ED25519\n"));
  EXPECT_THAT(names, HasSubstr("1: Name: vhsm:default/test/www\n"));
  const std::string all = storeutl("-r -keys vhsm:");
  EXPECT_EQ(count(all, "BEGIN VHSM KEY URI"), 2U) << all;
  EXPECT_THAT(storeutl("-certs -subject /CN=www vhsm:"), HasSubstr("BEGIN CERTIFICATE"));
}

TEST_F(StoreutlTest, AMalformedUriSaysWhatIsWrongWithIt) {
  EXPECT_THAT(storeutl("vhsm:a/b/c/d", false), HasSubstr("a name has 1 to 3 segments"));
  EXPECT_THAT(storeutl("vhsm:a/b/c/", false), HasSubstr("a folder has 1 or 2 segments"));
  EXPECT_THAT(storeutl("'vhsm:a/?type=cert'", false), HasSubstr("behind a folder stands no query"));
}

TEST_F(StoreutlTest, GenpkeyWritesAStandInOfTheKeyThatItNames) {
  run("genpkey -provider-path " VHSM_MODULE_DIR
      " -provider vhsm_files -provider default -propquery provider=vhsm -algorithm EC"
      " -pkeyopt group:P-256 -pkeyopt vhsm-uri:vhsm:default/made/new -out made.pem");
  std::ifstream in(folder_.path() + "/made.pem");
  const std::string pem{std::istreambuf_iterator<char>(in), {}};
  EXPECT_THAT(pem, HasSubstr("BEGIN VHSM KEY URI"));
  if (std::getenv("VHSM_TEST_SOCKET") == nullptr) return;  // the key ended with the command
  const auto key = read_private_pem(host_, pem);
  ASSERT_NE(key, nullptr) << take_errors();
  EXPECT_FALSE(sign(host_, key.get(), {"SHA256"}, kMessage).empty()) << take_errors();
  EXPECT_THAT(storeutl("-noout -text vhsm:default/made/new"), HasSubstr("stored nowhere"));
}

TEST_F(StoreutlTest, TheCommandDeletesAKeyOfVhsmdAndFindsNoneInAProcessOfItsOwn) {
  const char* const socket = std::getenv("VHSM_TEST_SOCKET");
  const std::string config = folder_.path() + "/vhsm.cnf";
  std::ofstream(config) << "[vhsm]\nplatform = none\nkeystore = "
                        << (socket != nullptr ? std::string("unix:") + socket : "memory:") << "\n";
  ASSERT_NE(host_.open(uri_), nullptr) << take_errors();
  const std::string command = VHSM_COMMAND " --config " + config + " key delete ";
  const bool deletes = socket != nullptr;
  EXPECT_THAT(shell(command + uri_, deletes),
              HasSubstr(deletes ? "deleted " + uri_ : "no such key"));
  EXPECT_THAT(shell(command + uri_, false), HasSubstr("there is no such key here"));
  EXPECT_NE(host_.open(uri_), nullptr) << "the KBS still has it" << take_errors();
}

// T22
TEST_F(StoreutlTest, AFileOfTheSameNameIsNotTakenForAKeyWithSlashes) {
  const std::filesystem::path file = folder_.path() + "/vhsm:default/test/www";
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << folder_.pem("RSA");
  EXPECT_THAT(storeutl("-noout -text vhsm://default/test/www"), HasSubstr("VHSM EC Private-Key"));
  std::filesystem::remove_all(folder_.path() + "/vhsm:default");
}

// T25
TEST_F(StoreutlTest, NobodyIsAskedForAPassphrase) {
  const std::string output = storeutl("-noout " + uri_ + " < /dev/null");
  EXPECT_THAT(output, Not(HasSubstr("pass")));
}

}  // namespace
}  // namespace vhsm::test
