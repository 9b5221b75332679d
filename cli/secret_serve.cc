// SPDX-License-Identifier: Apache-2.0
//
// vhsm secret serve: a socket from which systemd reads secrets: as key file of a volume
// (crypttab(5)), as credential of a service (systemd.exec(5), LoadCredential=). One connection, one
// secret, and which one is decided by the name that systemd's side is bound to.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "cli/console.h"
#include "cli/patience.h"
#include "cli/secret_output.h"
#include "cli/served_name.h"
#include "keystore/daemon/listener.h"
#include "module/assembly.h"
#include "vhsmd/systemd.h"

namespace vhsm::cli {
namespace {

using keystore::KeyUri;

constexpr timeval kLongestWrite{10, 0};  // of a peer that does not read

struct ServeArguments {
  std::vector<std::string> volumes;      ///< VOLUME=URI
  std::vector<std::string> credentials;  ///< UNIT/ID=URI
  std::string socket;                    ///< empty: systemd gives one
  std::chrono::seconds::rep wait = 90;
  std::chrono::seconds::rep idle = 0;  ///< 0: for ever
};

/// As they are written on the command line: "data", "nginx.service/key".
struct Offer {
  std::map<std::string, KeyUri> volumes;
  std::map<std::string, KeyUri> credentials;

  [[nodiscard]] const KeyUri* find(const ServedName& name) const {
    const auto& offered = name.is_volume ? volumes : credentials;
    const auto found = offered.find(name.is_volume ? name.id : name.unit + "/" + name.id);
    return found == offered.end() ? nullptr : &found->second;
  }
};

Status add_offers(std::map<std::string, KeyUri>& offered, const std::vector<std::string>& texts,
                  const Settings& settings) {
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(Errc::kInvalidArgument, "what is served is given as NAME=URI", text);
    }
    auto uri = VHSM_TRY(KeyUri::parse(text.substr(equals + 1), settings.kbs_path, true));
    if (!offered.emplace(text.substr(0, equals), std::move(uri)).second) {
      return fail(Errc::kInvalidArgument, "this name is served twice", text);
    }
  }
  return {};
}

Result<Offer> offer_of(const ServeArguments& arguments, const Settings& settings) {
  Offer offer;
  VHSM_TRY(add_offers(offer.volumes, arguments.volumes, settings));
  VHSM_TRY(add_offers(offer.credentials, arguments.credentials, settings));
  return offer;
}

Result<Descriptor> listening(const ServeArguments& arguments) {
  if (!arguments.socket.empty()) return keystore::listen_at(arguments.socket);
  const vhsmd::Supervisor supervisor;
  const auto given = VHSM_TRY(supervisor.listening_socket());
  if (given.has_value()) return Descriptor(*given);
  return fail(Errc::kInvalidArgument, "no socket: systemd gives none, and there is no --socket");
}

/// Whoever may connect as root may as well read what root starts.
Status check_user(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  if (known && (peer.uid == 0 || peer.uid == ::geteuid())) return {};
  return fail(Errc::kNotGranted, "only root and who serves may have secrets from this socket",
              known ? "user " + std::to_string(peer.uid) : "an unknown user")
      .cured_by("let systemd ask, which is root");
}

Result<ServedName> name_of_peer(int socket) {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  constexpr std::size_t kBeforePath = offsetof(sockaddr_un, sun_path);
  const bool bound = ::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
                     size > kBeforePath && size <= sizeof address;
  const auto name = bound ? parse_served_name({address.sun_path, size - kBeforePath})
                          : std::optional<ServedName>();
  if (name.has_value()) return *name;
  return fail(Errc::kNotGranted, "who connects does not say for which volume or credential")
      .cured_by("see crypttab(5) and LoadCredential= in systemd.exec(5)");
}

std::string text_of(const ServedName& name) {
  return printable(name.is_volume ? "volume " + name.id : name.unit + "/" + name.id);
}

Status serve_one(const Descriptor& socket, const Parts& parts, const Offer& offer,
                 std::chrono::seconds patience) {
  VHSM_TRY(check_user(socket.get()));
  const ServedName name = VHSM_TRY(name_of_peer(socket.get()));
  const KeyUri* const uri = offer.find(name);
  if (uri == nullptr) {
    return fail(Errc::kNotGranted, "nothing is served for it", text_of(name))
        .cured_by("name it by --volume or --credential");
  }
  const auto secret =
      VHSM_TRY(ask_with_patience(patience, [&] { return parts.keystore->release(*uri); }));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kLongestWrite, sizeof kLongestWrite);
  VHSM_TRY(write_to_descriptor(socket.get(), secret, false));
  return print(fmt::format("gave {} to {}\n", uri->name.uri(), text_of(name)));
}

/// @return an invalid one when nobody has come for so long.
Result<Descriptor> next_client(const Descriptor& listener, std::chrono::seconds idle) {
  for (;;) {
    pollfd one{listener.get(), POLLIN, 0};
    const int timeout =
        idle.count() == 0
            ? -1
            : static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(idle).count());
    const int ready = ::poll(&one, 1, timeout);
    if (ready == 0) return Descriptor();
    Descriptor client(ready < 0 ? -1 : ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.valid()) return client;
    if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
      return fail(Errc::kIo, "the socket takes no more connections");
    }
  }
}

/// Clients side by side, each on a thread of its own: one that does not read, or whose secret does
/// not come, keeps nobody out. Beyond kMost they wait for the one that came first.
class Clients {
 public:
  /// The connection ends with it: who reads from it waits for that.
  using Serve = std::function<void(Descriptor client)>;
  explicit Clients(Serve serve) : serve_(std::move(serve)) {}

  void add(Descriptor client) {
    leave_out_served();
    if (under_way_.size() == kMost) under_way_.pop_front();  // which waits for it
    const auto given = std::make_shared<Descriptor>(std::move(client));
    const auto answer = [this, given] { serve_(std::move(*given)); };
    try {
      under_way_.push_back(std::async(std::launch::async, answer));
    } catch (const std::system_error&) {  // there is no thread to be had
      answer();
    }
  }
  [[nodiscard]] bool none() {
    leave_out_served();
    return under_way_.empty();
  }

 private:
  static constexpr std::size_t kMost = 32;

  void leave_out_served() {
    std::erase_if(under_way_, [](const std::future<void>& one) {
      return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    });
  }

  Serve serve_;
  std::deque<std::future<void>> under_way_;
};

Result<Exit> serve(const Console& console, const ServeArguments& arguments) {
  const auto parts = VHSM_TRY(assemble(console.overrides()));
  const Offer offer = VHSM_TRY(offer_of(arguments, parts.settings));
  const Descriptor listener = VHSM_TRY(listening(arguments));
  Clients clients([&](const Descriptor& client) {
    const Status served = serve_one(client, parts, offer, std::chrono::seconds(arguments.wait));
    if (served.ok()) return;
    static_cast<void>(std::fprintf(stderr, "vhsm: %s\n", describe(served.error()).c_str()));
  });
  for (;;) {
    Descriptor client = VHSM_TRY(next_client(listener, std::chrono::seconds(arguments.idle)));
    if (client.valid()) {
      clients.add(std::move(client));
    } else if (clients.none()) {
      return Exit::kDone;
    }
  }
}

}  // namespace

void add_serve(CLI::App& secret, Console& console) {
  const auto arguments = std::make_shared<ServeArguments>();
  CLI::App* const command = secret.add_subcommand("serve", "Give secrets to systemd, on a socket");
  command->add_option("--volume", arguments->volumes, "Of crypttab(5), as VOLUME=URI; repeatable")
      ->allow_extra_args(false);
  command
      ->add_option("--credential", arguments->credentials,
                   "Of LoadCredential=, as UNIT/ID=URI; repeatable")
      ->allow_extra_args(false);
  command->add_option("--socket", arguments->socket,
                      "Path of the socket, where systemd gives none");
  command->add_option("--idle", arguments->idle, "End after so many seconds without a connection")
      ->check(CLI::Range(0, 86400));
  add_wait(*command, arguments->wait);
  command->callback([&console, arguments] {
    console.action = [&console, arguments] { return serve(console, *arguments); };
  });
}

}  // namespace vhsm::cli
