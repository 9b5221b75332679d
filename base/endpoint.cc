// SPDX-License-Identifier: Apache-2.0
#include "base/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

namespace vhsm {
namespace {

constexpr std::size_t kMaxHostBytes = 253;  // RFC 1035, section 2.3.4, as text

char lower(char c) { return (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_host_char(char c) {
  const char low = lower(c);
  return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_dns_name(const std::string& host) {
  return !host.empty() && host.size() <= kMaxHostBytes && std::ranges::all_of(host, is_host_char) &&
         host.front() != '.' && host.front() != '-' && host.find("..") == std::string::npos;
}

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool is_loopback(const std::string& host) {
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  return inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/// Splits "host:port" or "[v6]:port" behind the scheme.
Status read_authority(std::string_view authority, Endpoint& endpoint) {
  const bool bracketed = authority.starts_with('[');
  const std::size_t host_end = bracketed ? authority.find(']') : authority.find(':');
  if (bracketed && host_end == std::string_view::npos) {
    return fail(Errc::kBadConfig, "a bracket of this URL is not closed");
  }
  endpoint.host = authority.substr(bracketed ? 1 : 0, bracketed ? host_end - 1 : host_end);
  std::ranges::transform(endpoint.host, endpoint.host.begin(), lower);
  if (bracketed ? !is_ipv6(endpoint.host) : !is_dns_name(endpoint.host)) {
    return fail(Errc::kBadConfig, "this URL has no valid host");
  }
  if (host_end == std::string_view::npos) return {};
  std::string_view rest = authority.substr(host_end + (bracketed ? 1 : 0));
  if (rest.empty()) return {};
  if (!rest.starts_with(':')) return fail(Errc::kBadConfig, "this URL has no valid host");
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), endpoint.port);
  if (error != std::errc{} || end != rest.data() + rest.size() || endpoint.port == 0) {
    return fail(Errc::kBadConfig, "this URL has no valid port");
  }
  return {};
}

Result<Endpoint> read_url(std::string_view url) {
  Endpoint endpoint;
  const std::size_t scheme_end = url.find("://");
  endpoint.scheme = url.substr(0, std::min(scheme_end, url.size()));
  std::ranges::transform(endpoint.scheme, endpoint.scheme.begin(), lower);
  if (scheme_end == std::string_view::npos ||
      (endpoint.scheme != "https" && endpoint.scheme != "http")) {
    return fail(Errc::kBadConfig, "this URL must start with https:// (or http://)");
  }
  endpoint.port = endpoint.scheme == "https" ? 443 : 80;
  std::string_view authority = url.substr(scheme_end + 3);
  if (authority.find('@') != std::string_view::npos) {
    return fail(Errc::kBadConfig, "this URL must not carry a user name or password");
  }
  if (authority.ends_with('/')) authority.remove_suffix(1);
  if (authority.find_first_of("/?#") != std::string_view::npos) {
    return fail(Errc::kBadConfig, "this URL must end after host and port");
  }
  VHSM_TRY(read_authority(authority, endpoint));
  endpoint.is_loopback = is_loopback(endpoint.host);
  return endpoint;
}

}  // namespace

std::string Endpoint::url() const {
  const bool six = host.find(':') != std::string::npos;
  return scheme + "://" + (six ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Endpoint> parse_endpoint(std::string_view url) {
  auto endpoint = read_url(url);
  if (endpoint.ok()) return endpoint;
  const std::size_t at = url.rfind('@');
  return endpoint.error().about(at == std::string_view::npos ? url : url.substr(at));
}

}  // namespace vhsm
