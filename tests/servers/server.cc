// SPDX-License-Identifier: Apache-2.0
#include "tests/servers/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace vhsm::tests {
namespace {

constexpr const char* kMemlockBytes = "8388608";  // systemd's default, and the kernel's

/// Runs, and is not a zombie that nobody has looked for yet.
bool alive(pid_t process) {
  const std::string stat = read_file("/proc/" + std::to_string(process) + "/stat");
  const auto name_end = stat.rfind(") ");
  return process > 0 && name_end != std::string::npos && stat[name_end + 2] != 'Z';
}

/// The environment that our drop-in for systemd gives nginx, with this tree in place of the
/// installed one.
std::vector<std::string> service_environment() {
  const std::string installed = "/usr/share/vhsm";
  std::istringstream lines(read_file(VHSM_SOURCE_DIR "/openssl.cnf.d/nginx.service.conf"));
  std::vector<std::string> variables;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("Environment=")) continue;
    if (const auto at = line.find(installed); at != std::string::npos) {
      line.replace(at, installed.size(), VHSM_SOURCE_DIR);
    }
    variables.push_back(line.substr(line.find('=') + 1));
  }
  EXPECT_FALSE(variables.empty());
  return variables;
}

}  // namespace

int free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool bound =
      ::bind(descriptor, generic, size) == 0 && ::getsockname(descriptor, generic, &size) == 0;
  ::close(descriptor);
  return bound ? ntohs(address.sin_port) : 0;
}

bool eventually(const std::function<bool()>& condition) {
  for (int tries = 0; tries < 1000; ++tries) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::vector<pid_t> children_of(pid_t process) {
  const std::string task = std::to_string(process);
  std::istringstream list(read_file("/proc/" + task + "/task/" + task + "/children"));
  std::vector<pid_t> children;
  for (pid_t child = 0; list >> child;) children.push_back(child);
  return children;
}

long resident_kib(pid_t process) {
  std::istringstream lines(read_file("/proc/" + std::to_string(process) + "/smaps_rollup"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Rss:")) return std::stol(line.substr(line.find(':') + 1));
  }
  return 0;
}

std::string user_of(pid_t process) {
  struct stat status {};
  if (::stat(("/proc/" + std::to_string(process)).c_str(), &status) != 0) return {};
  const passwd* const entry = ::getpwuid(status.st_uid);
  return entry == nullptr ? std::string() : entry->pw_name;
}

std::filesystem::path file_identity(World& world, const std::string& kind) {
  const auto path = world.file(kind + "-file.pem");
  std::vector<std::string> make{"req",
                                "-x509",
                                "-nodes",
                                "-days",
                                "1",
                                "-subj",
                                "/CN=" + kind,
                                "-keyout",
                                world.file(kind + ".key"),
                                "-out",
                                world.file(kind + ".crt"),
                                "-newkey"};
  const bool ec = kind == "ec";
  make.insert(make.end(),
              ec ? std::initializer_list<std::string>{"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}
                 : std::initializer_list<std::string>{"rsa:2048"});
  make.insert(make.begin(), "openssl");
  const Outcome made = run(make, {"OPENSSL_CONF=/etc/ssl/openssl.cnf"});
  EXPECT_EQ(made.status, 0) << made.err;
  write_file(path, read_file(world.file(kind + ".crt")) + read_file(world.file(kind + ".key")));
  return path;
}

std::filesystem::path make_identity(World& world, const std::string& kind) {
  const std::string name = "default/tls/" + kind;
  world.put(name, read_file(file_identity(world, kind)));
  const Outcome stand_in =
      run({std::string(VHSM_BIN_DIR) + "/vhsm", "key", "pem", name}, world.environment());
  EXPECT_EQ(stand_in.status, 0) << stand_in.err;
  const auto path = world.file(kind + "-vhsm.pem");
  write_file(path, stand_in.out + read_file(world.file(kind + ".crt")));
  return path;
}

Server::Server(World& world, std::filesystem::path identity)
    : world_(world), identity_(std::move(identity)), port_(free_port()) {
  folder_ = world.file("server-" + std::to_string(port_));
  std::filesystem::create_directory(folder_);
}

pid_t Server::master() const {
  const std::string text = read_file(folder_ / "pid");
  return text.empty() ? -1 : std::stoi(text);
}

std::vector<pid_t> Server::workers() const { return children_of(master()); }

void Server::stop() {
  const pid_t process = master();
  if (!alive(process)) return;
  const auto all = workers();
  ::kill(process, SIGTERM);
  if (!eventually([&] { return !alive(process); })) ::kill(process, SIGKILL);
  for (const pid_t worker : all) {
    if (alive(worker)) ::kill(worker, SIGKILL);
  }
}

Outcome Server::run_limited(std::vector<std::string> argv,
                            const std::vector<std::string>& variables) const {
  if (on_machine_) argv = world_.on_machine(std::move(argv));
  argv.insert(argv.begin(), {"prlimit", std::string("--memlock=") + kMemlockBytes, "--"});
  auto environment = world_.environment();
  std::erase_if(environment, [](const auto& entry) { return entry.starts_with("OPENSSL_CONF="); });
  environment.insert(environment.end(), variables.begin(), variables.end());
  return run(argv, environment);
}

Nginx::Nginx(World& world, const std::filesystem::path& identity, std::string key)
    : Server(world, identity),
      key_(key.empty() ? identity.string() : std::move(key)),
      environment_(service_environment()) {}

std::pair<int, int> Nginx::version() {
  const std::string text = run({"/usr/sbin/nginx", "-v"}).err;  // nginx version: nginx/1.22.1
  int major = 0;
  int minor = 0;
  EXPECT_EQ(std::sscanf(text.c_str(), "nginx version: nginx/%d.%d", &major, &minor), 2) << text;
  return {major, minor};
}

Outcome Nginx::run_nginx(std::vector<std::string> more) const {
  more.insert(more.begin(), {"/usr/sbin/nginx", "-p", folder_.string() + "/", "-e",
                             (folder_ / "error.log").string(), "-c", folder_ / "nginx.conf"});
  return run_limited(more, environment_);
}

bool Nginx::ready() const {
  const auto all = workers();
  return all.size() == worker_count_ &&
         std::ranges::all_of(all, [](pid_t worker) { return user_of(worker) == "www-data"; });
}

std::string Nginx::start() {
  write_file(folder_ / "nginx.conf", R"(user www-data;
worker_processes )" + std::to_string(worker_count_) +
                                         R"(;
include )" VHSM_SOURCE_DIR R"(/openssl.cnf.d/nginx.conf;
)" + directives_ + R"(pid )" + (folder_ / "pid").string() +
                                         R"(;
events { worker_connections 256; }
http {
  access_log off;
  server {
    listen 127.0.0.1:)" + std::to_string(port_) +
                                         R"( ssl;
    ssl_certificate )" + identity_.string() +
                                         R"(;
    ssl_certificate_key )" + key_ +
                                         R"(;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ALL:@SECLEVEL=1;
    location / { return 200 "a page\n"; }
  }
}
)");
  const Outcome started = run_nginx({});
  if (started.status != 0) return started.err + log();
  return eventually([&] { return ready(); }) ? std::string() : "its workers do not get ready";
}

void Nginx::reload() {
  const auto old = workers();
  const Outcome told = run_nginx({"-s", "reload"});
  EXPECT_EQ(told.status, 0) << told.err;
  EXPECT_TRUE(eventually([&] {
    const auto now = workers();
    return ready() && std::ranges::none_of(old, [&](pid_t worker) {
             return std::ranges::find(now, worker) != now.end();
           });
  })) << log();
}

std::filesystem::path Nginx::dump_cores() {
  const auto cores = folder_ / "cores";
  std::filesystem::create_directory(cores);
  for (const auto& folder : {world_.folder(), folder_, cores}) {  // for www-data
    ::chmod(folder.c_str(), folder == cores ? 0777 : 0711);
  }
  add_directive("worker_rlimit_core 1g");
  add_directive("working_directory " + cores.string());
  return cores;
}

bool Nginx::upgrade() {
  const pid_t old = master();
  ::kill(old, SIGUSR2);
  const auto has_new = [&] { return master() != old && master() > 0 && ready(); };
  if (!eventually(has_new)) return false;
  ::kill(old, SIGQUIT);
  return eventually([&] { return !alive(old); });
}

/// The master executes itself once more after its start and in each reload, and a signal that comes
/// in between is lost.
bool Haproxy::ready() const {
  constexpr unsigned long kReloadSignal = 1UL << (SIGUSR2 - 1);
  const std::string status = read_file("/proc/" + std::to_string(master()) + "/status");
  const auto at = status.find("SigCgt:");
  return at != std::string::npos && workers().size() == 1 &&
         (std::stoul(status.substr(at + 7), nullptr, 16) & kReloadSignal) != 0;
}

std::string Haproxy::start() {
  write_file(folder_ / "haproxy.cfg", R"(global
  log stdout local0 warning
  chroot /var/lib/haproxy
  stats socket )" + (folder_ / "admin.sock").string() +
                                          R"( mode 660 level admin expose-fd listeners
  user haproxy
  group haproxy
  daemon
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend www
  bind 127.0.0.1:)" + std::to_string(port_) +
                                          " ssl crt " + identity_.string() + R"(
  http-request return status 200 content-type text/plain string "a page\n"
)");
  const Outcome started =
      run_limited({"haproxy", "-W", "-f", VHSM_SOURCE_DIR "/openssl.cnf.d/haproxy.cfg", "-f",
                   folder_ / "haproxy.cfg", "-p", folder_ / "pid"},
                  {});
  if (started.status != 0) return started.err + started.out;
  return eventually([&] { return ready(); }) ? std::string() : "its master does not get ready";
}

void Haproxy::reload() {
  const auto old = workers();
  ::kill(master(), SIGUSR2);
  EXPECT_TRUE(eventually([&] {
    const auto now = workers();
    return ready() && std::ranges::find(old, now[0]) == old.end();
  }));
}

}  // namespace vhsm::tests
