// SPDX-License-Identifier: Apache-2.0
#include "tests/world/world.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

extern char** environ;

namespace vhsm::tests {
namespace {

constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";
const std::string kBin = VHSM_BIN_DIR;
const std::string kLib = VHSM_LIB_DIR;

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

std::vector<std::string> environment_with(const std::vector<std::string>& extra) {
  std::vector<std::string> all(extra);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    const std::string name = text.substr(0, text.find('=') + 1);
    const auto replaced = [&](const std::string& other) { return other.starts_with(name); };
    if (std::find_if(extra.begin(), extra.end(), replaced) == extra.end()) all.push_back(text);
  }
  return all;
}

/// Starts a child whose standard output and error go to `out` and `err`.
pid_t spawn(std::vector<std::string> argv, const std::vector<std::string>& extra,
            const std::string& out, const std::string& err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  auto variables = environment_with(extra);
  pid_t child = -1;
  if (::posix_spawnp(&child, argv[0].c_str(), &actions, nullptr, pointers(argv).data(),
                     pointers(variables).data()) != 0) {
    child = -1;
  }
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

/// The text behind `mark` up to the next blank, once `path` has it.
std::string wait_for_text(const std::filesystem::path& path, const std::string& mark) {
  for (int tries = 0; tries < 500; ++tries) {
    const std::string text = read_file(path);
    const auto at = text.find(mark);
    if (at != std::string::npos && text.find('\n', at) != std::string::npos) {
      return text.substr(at, text.find_first_of(" \n", at) - at);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return {};
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

Outcome run(const std::vector<std::string>& argv, const std::vector<std::string>& extra) {
  char name[] = "/tmp/vhsm-run-XXXXXX";
  if (::mkdtemp(name) == nullptr) return {};
  const std::string out = std::string(name) + "/out";
  const std::string err = std::string(name) + "/err";
  Outcome outcome;
  outcome.status = wait_for(spawn(argv, extra, out, err));
  outcome.out = read_file(out);
  outcome.err = read_file(err);
  std::filesystem::remove_all(name);
  return outcome;
}

World::World() {
  char name[] = "/tmp/vhsm-world-XXXXXX";
  if (::mkdtemp(name) == nullptr) return;
  folder_ = name;
  make_platform();
  make_kbs();
  start_kbs();
  if (has_daemon()) make_reachable();
  configure();
  ready_ = kbs_ > 0 && !endpoint_.empty() && !::testing::Test::HasFatalFailure();
}

World::~World() {
  stop_daemon(SIGTERM);
  stop_kbs();
  while (boots_-- > 0) ::umount2(kBootId, MNT_DETACH);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

/// A copy of one that the build has made: making it takes seconds.
void World::make_platform() {
  std::error_code error;
  std::filesystem::copy(VHSM_WORLD_EMULATOR, file("snp"), std::filesystem::copy_options::recursive,
                        error);
  EXPECT_FALSE(error) << VHSM_WORLD_EMULATOR << ": " << error.message();
}

void World::make_kbs() {
  std::filesystem::create_directory(file("kbs"));
  const auto made = kbs({"init", "--config", file("kbs/vhsm-kbs.cnf"), "--host",
                         "localhost,127.0.0.1", "--listen", "127.0.0.1:0", "--trust-test-root",
                         file("snp/ark.pem"), "--measurement", VHSM_WORLD_MEASUREMENT});
  EXPECT_EQ(made.status, 0) << made.err;
}

Outcome World::kbs(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), kBin + "/vhsm-kbs");
  return run(arguments);
}

void World::put(const std::string& name, const std::string& content) const {
  write_file(file("resource"), content);
  const auto stored =
      kbs({"resource", "put", name, file("resource"), "--config", file("kbs/vhsm-kbs.cnf")});
  EXPECT_EQ(stored.status, 0) << stored.err;
  std::filesystem::remove(file("resource"));
}

void World::start_kbs() {
  std::vector<std::string> argv{kBin + "/vhsm-kbs", "serve", "--config", file("kbs/vhsm-kbs.cnf")};
  if (!endpoint_.empty()) {  // again, where the clients expect it
    argv.insert(argv.end(), {"--listen", endpoint_.substr(std::string("https://").size())});
  }
  kbs_ = spawn(argv, {}, file("kbs.out"), file("kbs.err"));
  endpoint_ = wait_for_text(file("kbs.out"), "https://");
  EXPECT_FALSE(endpoint_.empty()) << read_file(file("kbs.err"));
}

void World::stop_kbs() {
  if (kbs_ <= 0) return;
  ::kill(kbs_, SIGTERM);
  wait_for(kbs_);
  kbs_ = -1;
}

bool World::has_daemon() {
  const char* const keystore = std::getenv("VHSM_TEST_KEYSTORE");
  return keystore != nullptr && keystore == std::string("unix");
}

/// Programs of other users come to the socket, and may use every key.
void World::make_reachable() const {
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all |
                                            std::filesystem::perms::group_exec |
                                            std::filesystem::perms::others_exec);
  std::string rules;
  for (const char* const name : {"www-data", "haproxy"}) {
    const passwd* const entry = ::getpwnam(name);
    if (entry != nullptr) rules += "* user " + std::to_string(entry->pw_uid) + "\n";
  }
  write_file(file("grants"), rules);
  std::filesystem::permissions(
      file("grants"), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

void World::configure(const std::string& more, const std::string& platform) {
  const std::string emulator = "emulator:" + file("snp").string();
  std::string text = "[vhsm]\nplatform = " + (platform.empty() ? emulator : platform) +
                     "\nkbs = " + endpoint_ + "\nkbs_ca = " + file("kbs/ca.pem").string() + "\n";
  if (has_daemon()) {
    text += "keystore = unix:" + file("run/vhsmd.sock").string() +
            "\ngrants = " + file("grants").string() + "\n";
  }
  write_file(file("vhsm.cnf"), text + more);
  daemon_on_machine_ = platform == "sev-guest";
  if (has_daemon()) start_daemon();
}

pid_t World::spawn_daemon(std::vector<std::string> options) const {
  std::filesystem::remove(file("vhsmd.out"));
  std::vector<std::string> argv{kBin + "/vhsmd", "--config", file("vhsm.cnf")};
  argv.insert(argv.end(), options.begin(), options.end());
  if (daemon_on_machine_) argv = on_machine(std::move(argv));
  const pid_t child = spawn(argv, {}, file("vhsmd.out"), file("vhsmd.err"));
  EXPECT_NE(wait_for_text(file("vhsmd.out"), "vhsmd serves "), "") << read_file(file("vhsmd.err"));
  return child;
}

void World::start_daemon(std::vector<std::string> options) {
  stop_daemon(SIGTERM);
  daemon_ = spawn_daemon(std::move(options));
}

void World::stop_daemon(int signal) {
  if (daemon_ <= 0) return;
  ::kill(daemon_, signal);
  wait_for(daemon_);
  daemon_ = -1;
}

int World::succeed_daemon() {
  const pid_t successor = spawn_daemon({"--take-over"});
  const int status = wait_for(daemon_);
  daemon_ = successor;
  return status;
}

bool World::reboot() {
  const std::string number = std::to_string(boots_ + 1);
  const std::string id = file("boot_id").string() + number;
  write_file(id, "00000000-0000-4000-8000-00000000000" + number + "\n");
  const bool own =
      boots_ > 0 || (::unshare(CLONE_NEWNS) == 0 &&
                     ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  if (!own || ::mount(id.c_str(), kBootId, nullptr, MS_BIND, nullptr) != 0) return false;
  ++boots_;
  if (daemon_ > 0) start_daemon();
  return true;
}

std::vector<std::string> World::on_machine(std::vector<std::string> command,
                                           std::vector<std::string> host) const {
  std::vector<std::string> argv{kBin + "/vhsm-snp-emulator", file("snp")};
  argv.insert(argv.end(), host.begin(), host.end());
  argv.emplace_back("--");
  argv.insert(argv.end(), command.begin(), command.end());
  return argv;
}

Outcome World::emulated(std::vector<std::string> command, std::vector<std::string> host) const {
  return run(on_machine(std::move(command), std::move(host)), environment());
}

std::vector<std::string> World::environment() const {
  return {"VHSM_CONF=" + file("vhsm.cnf").string(), "OPENSSL_MODULES=" + kLib,
          "OPENSSL_CONF=/dev/null"};
}

Outcome World::openssl(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), "openssl");
  return run(arguments, environment());
}

}  // namespace vhsm::tests
