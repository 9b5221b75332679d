// SPDX-License-Identifier: Apache-2.0
#include "cli/http_get.h"

#include <array>

#include "nitride/connection.h"
#include "nitride/resolver.h"

namespace vhsm::cli {
namespace {

Result<nitride::HttpAnswer> read_answer(nitride::Connection& connection, TimePoint deadline) {
  nitride::HttpReader reader;
  std::array<char, 16384> buffer;
  for (bool done = false; !done;) {
    const std::size_t got = VHSM_TRY(connection.read(buffer, deadline));
    done = VHSM_TRY(got == 0 ? reader.finish() : reader.feed({buffer.data(), got}));
  }
  return reader.take();
}

Result<nitride::HttpAnswer> ask(const Endpoint& endpoint, const nitride::TlsContext& tls,
                                const std::string& target, TimePoint deadline) {
  const std::string url = endpoint.url();
  nitride::HttpRequest request;
  request.target = target;
  request.host = url.substr(url.find("://") + 3);
  request.accept = "*/*";
  const std::string wire = VHSM_TRY(nitride::serialize(request));
  const auto addresses = VHSM_TRY(nitride::Lookup::start(endpoint).wait(deadline));
  auto connection = VHSM_TRY(nitride::Connection::open(endpoint, addresses, tls, deadline));
  VHSM_TRY(connection.write(wire, deadline));
  return read_answer(connection, deadline);
}

}  // namespace

Result<nitride::HttpAnswer> http_get(const Endpoint& endpoint, const nitride::TlsContext& tls,
                                     const std::string& target, TimePoint deadline) {
  auto answer = ask(endpoint, tls, target, deadline);
  if (answer.ok()) return answer;
  if (answer.error().code == Errc::kUnreachable) {  // what lies below knows KBSs alone
    return fail(Errc::kUnreachable, "this server does not answer, or there is no way to it",
                endpoint.url())
        .cured_by("check its address, --kds-ca and the network; then try again");
  }
  return answer.error().about(endpoint.url());
}

}  // namespace vhsm::cli
