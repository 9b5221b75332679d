// SPDX-License-Identifier: Apache-2.0
#include "nitride/resolver.h"

#include <netdb.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "base/thread.h"

namespace vhsm::nitride {
namespace {

/// @return whether there is an address.
bool look_up(const std::string& host, const std::string& port, int flags, Addresses& found) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &list) != 0) return false;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    found.add(one->ai_addr, one->ai_addrlen);
  }
  ::freeaddrinfo(list);
  return !found.empty();
}

}  // namespace

void Addresses::add(const sockaddr* address, socklen_t size) noexcept {
  const int family = address == nullptr ? AF_UNSPEC : address->sa_family;
  if (count_ == kMax || (family != AF_INET && family != AF_INET6)) return;
  if (size != (family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in))) return;
  std::memcpy(&items_[count_++], address, size);
}

/// Outlives whichever of the two threads ends first.
struct Lookup::Shared {
  std::string host;
  std::string port;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  Addresses found;

  void finish(const Addresses& addresses) {
    const std::lock_guard lock(mutex);
    found = addresses;
    done = true;
    changed.notify_all();
  }
};

void Lookup::run(Shared& shared) {
  Addresses found;
  look_up(shared.host, shared.port, AI_ADDRCONFIG, found);
  shared.finish(found);
}

Lookup Lookup::start(const Endpoint& endpoint) {
  auto shared = std::make_shared<Shared>();
  shared->host = endpoint.host;
  shared->port = std::to_string(endpoint.port);
  if (look_up(shared->host, shared->port, AI_NUMERICHOST, shared->found)) {
    shared->done = true;
    return Lookup(std::move(shared));
  }
  if (!start_thread([shared] { run(*shared); })) shared->done = true;
  return Lookup(std::move(shared));
}

Result<Addresses> Lookup::wait(TimePoint deadline) {
  std::unique_lock lock(shared_->mutex);
  if (!shared_->changed.wait_until(lock, deadline, [this] { return shared_->done; })) {
    return fail(Errc::kUnreachable, "the KBS's name was not resolved in time");
  }
  if (shared_->found.empty()) return fail(Errc::kUnreachable, "the KBS's name has no address");
  return shared_->found;
}

}  // namespace vhsm::nitride
