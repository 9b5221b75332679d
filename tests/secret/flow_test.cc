// SPDX-License-Identifier: Apache-2.0
//
// Secrets from their owner to the program that needs them.
#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tests/secret/fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kBytes("p\0ssw\xff\n rd", 10);

TEST_F(SecretFlowTest, WhatIsPutReleasableComesOutAsItIs) {
  seal("default/luks/data", kBytes);
  const auto got = vhsm({"secret", "get", "vhsm:default/luks/data"});
  ASSERT_EQ(got.status, 0) << got.err;
  EXPECT_EQ(got.out, kBytes);
  EXPECT_FALSE(std::filesystem::exists(file("to-seal"))) << "--wipe-source";
}

TEST_F(SecretFlowTest, ASecretComesFromStandardInputAndGoesToADescriptor) {
  const auto line =
      "printf sesame | vhsm secret put default/api/key --releasable >/dev/null && "
      "vhsm secret get default/api/key --fd 3 3>" +
      file("got");
  const auto outcome = shell(line);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(read_file(world_.file("got")), "sesame");
}

TEST_F(SecretFlowTest, TheKbsHandsOutWhatItsOwnerHasMarked) {
  store("default/luks/root", kBytes);
  const auto got = vhsm({"secret", "get", "default/luks/root"});
  ASSERT_EQ(got.status, 0) << got.err;
  EXPECT_EQ(got.out, kBytes);
}

TEST_F(SecretFlowTest, TheMarkCanBeWrittenByHandForAnyKbs) {
  const auto form = run({"sh", "-c",
                         R"(printf '{"kty":"oct","key_ops":["release"],"k":"%s"}' )"
                         R"sh("$(printf 'by hand' | base64 -w0 | tr '+/' '-_' | tr -d =)")sh"});
  world_.put("default/api/hand", form.out);
  EXPECT_EQ(vhsm({"secret", "get", "default/api/hand"}).out, "by hand");
}

TEST_F(SecretFlowTest, BytesOfAStockKbsComeOutWhereTheSettingsSaySoAndNowhereElse) {
  world_.put("default/secret/luks", "stock bytes");
  const auto refused = vhsm({"secret", "get", "default/secret/luks"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  configure("secret_paths = default/secret\n");
  EXPECT_EQ(vhsm({"secret", "get", "default/secret/luks"}).out, "stock bytes");
  EXPECT_NE(vhsm({"mac", "default/secret/luks", "/dev/null"}).status, 0) << "and is no key";
}

TEST_F(SecretFlowTest, KeysDoNotComeOut) {
  seal("default/key/mac", std::string(32, 'k'), false);
  must({"key", "generate", "default/key/aes", "--algorithm", "SECRET:256"});
  must({"key", "generate", "default/key/ec", "--algorithm", "EC:P-256"});
  world_.put("default/key/raw", std::string(32, 'r'));
  world_.put("default/key/jwk", R"({"kty":"oct","k":"c2VzYW1l","key_ops":["sign"]})");
  for (const std::string name : {"mac", "aes", "ec", "raw", "jwk"}) {
    const auto refused = vhsm({"secret", "get", "default/key/" + name});
    EXPECT_EQ(refused.status, 1) << name;
    EXPECT_EQ(refused.out, "") << name;
    EXPECT_THAT(refused.err, HasSubstr("default/key/" + name));
    const auto run = vhsm({"secret", "run", "--env", "K=default/key/" + name, "--", "env"});
    EXPECT_EQ(run.status, 1) << name;
    EXPECT_EQ(run.out, "") << name;
  }
}

TEST_F(SecretFlowTest, AListSaysWhatMayComeOut) {
  seal("default/luks/data", std::string(16, 'x'));
  seal("default/mac/key", std::string(16, 'x'), false);
  const auto list = vhsm({"key", "list"});
  EXPECT_THAT(list.out, AllOf(HasSubstr("RELEASABLE:128"), HasSubstr("SECRET:128")));
  EXPECT_THAT(vhsm({"key", "rotate", "default/luks/data"}).err, HasSubstr("imported"));
  must({"key", "delete", "default/luks/data"});
  EXPECT_NE(vhsm({"secret", "get", "default/luks/data"}).status, 0);
}

TEST_F(SecretFlowTest, NameSizeAndPolicyOfASecretAreShownAndNotItsBytes) {
  seal("default/luks/data", "sesame-open-now!");
  seal("default/mac/key", "sesame-open-now!", false);
  store("default/api/key", "sesame-open-now!");
  must({"key", "policy", "default/mac/key", "uses=5"});
  struct Case {
    const char* name;
    std::vector<std::string> parts;
  };
  for (const Case& shown : {Case{"default/luks/data", {"RELEASABLE:128", "128 bits", "version=1"}},
                            Case{"default/mac/key", {"SECRET:128", "uses=5", "uses left    5"}},
                            Case{"default/api/key", {"128 bits"}}}) {
    const auto show = vhsm({"key", "show", std::string("vhsm:") + shown.name + "?type=secret"});
    EXPECT_EQ(show.status, 0) << show.err;
    for (const std::string& part : shown.parts) EXPECT_THAT(show.out, HasSubstr(part));
    const auto json =
        vhsm({"key", "show", std::string("vhsm:") + shown.name + "?type=secret", "--json"});
    EXPECT_THAT(json.out, HasSubstr("\"bits\": 128"));
    for (const std::string& out : {show.out, json.out, vhsm({"key", "list"}).out}) {
      EXPECT_THAT(out, Not(HasSubstr("sesame")));
      EXPECT_THAT(out, Not(HasSubstr("c2VzYW1l"))) << "base64";
    }
  }
}

TEST_F(SecretFlowTest, ANewVersionTakesItsPlaceAndTheOldOneIsStillNamed) {
  seal("default/api/key", "first");
  must({"secret", "put", "default/api/key", written("second", "second"), "--releasable",
        "--new-version"});
  EXPECT_EQ(vhsm({"secret", "get", "default/api/key"}).out, "second");
  EXPECT_EQ(vhsm({"secret", "get", "vhsm:default/api/key?version=1"}).out, "first");
  must({"key", "disable", "vhsm:default/api/key?version=2"});
  EXPECT_EQ(vhsm({"secret", "get", "default/api/key"}).out, "first");
}

// ----- run ---------------------------------------------------------------------------------------

TEST_F(SecretFlowTest, ACommandHasTheSecretInItsEnvironmentAndItsOwnArguments) {
  seal("default/api/key", "from the folder");
  store("default/api/other", "from the KBS");
  const auto run = shell(
      "API_KEY=old vhsm secret run --env API_KEY=vhsm:default/api/key --env "
      "OTHER=default/api/other "
      "-- sh -c 'printf \"%s|%s|%s|%s\" \"$API_KEY\" \"$OTHER\" \"$1\" \"$2\"; exit 7' name '' "
      "--wait");
  EXPECT_EQ(run.out, "from the folder|from the KBS||--wait");
  EXPECT_EQ(run.status, 7) << run.err;
}

TEST_F(SecretFlowTest, NoProcessShowsTheSecretInItsArguments) {
  seal("default/api/key", "sesame-open");
  const auto seen = shell(
      "vhsm secret run --env API_KEY=default/api/key -- sh -c "
      "'cat /proc/[0-9]*/cmdline 2>/dev/null | tr \"\\0\" \" \" | grep -c \"sesame-o[p]en\"; "
      "true'");
  EXPECT_EQ(seen.out, "0\n");
}

TEST_F(SecretFlowTest, CurlSendsAnApiKeyThatNobodyElseSees) {
  seal("default/api/key", "an-api-key");
  const std::string server = written("server.py", R"(
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        right = self.headers.get("X-Api-Key") == open(sys.argv[1]).read()
        self.send_response(200 if right else 403)
        self.end_headers()
        self.wfile.write(b"welcome" if right else b"who are you")
    def log_message(self, *ignored): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
open(sys.argv[2], "w").write(str(server.server_port))
for _ in range(2): server.handle_request()
)");
  const std::string expected = written("expected", "an-api-key");
  const auto outcome =
      shell("python3 " + server + " " + expected + " " + file("port") +
            " & "
            "for i in $(seq 100); do [ -s " +
            file("port") +
            " ] && break; sleep 0.1; done; "
            "URL=http://127.0.0.1:$(cat " +
            file("port") +
            "); "
            "vhsm secret run --env API_KEY=default/api/key -- sh -c "
            "'printf \"header = \\\"X-Api-Key: %s\\\"\" \"$API_KEY\" | curl -sS -K - \"$0\"' $URL; "
            "echo; curl -sS $URL; wait");
  EXPECT_EQ(outcome.out, "welcome\nwho are you") << outcome.err;
}

// ----- keyrings ----------------------------------------------------------------------------------

TEST_F(SecretFlowTest, AKeyringOfTheKernelTakesASecret) {
  seal("default/luks/data", kBytes);
  const long ring = ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "vhsm-test");
  if (ring < 0 && (errno == ENOSYS || errno == EPERM))
    GTEST_SKIP() << "this kernel has no keyrings";
  const auto got = vhsm({"secret", "get", "default/luks/data", "--keyring", "session",
                         "--description", "cryptsetup:data"});
  ASSERT_EQ(got.status, 0) << got.err;
  const long key = std::stol(got.out);
  std::string content(64, '\0');
  const long size = ::syscall(SYS_keyctl, KEYCTL_READ, key, content.data(), content.size());
  ASSERT_GT(size, 0);
  EXPECT_EQ(content.substr(0, static_cast<std::size_t>(size)), kBytes);
  EXPECT_EQ(::syscall(SYS_request_key, "user", "cryptsetup:data", nullptr, 0), key);
}

}  // namespace
}  // namespace vhsm::tests
