// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 requests and answers, and the cookies between them.
// Source: RFC 9112; RFC 6265, section 5.2, narrowed to names and values.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::nitride {

inline constexpr std::size_t kMaxBodyBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxHeaderBytes = std::size_t{16} << 10;

struct HttpRequest {
  bool is_post = false;
  std::string target;     ///< "/kbs/v0/auth"
  std::string host;       ///< with the port
  std::string cookies;    ///< value of the Cookie header; empty: none
  std::string json_body;  ///< only sent if is_post
  std::string bearer;     ///< token of the Authorization header; empty: none
  std::string accept = "application/json";
};

struct HttpAnswer {
  unsigned status = 0;
  std::string body;
  std::vector<std::string> set_cookies;  ///< values of all Set-Cookie headers, in order
  bool keeps_alive = false;              ///< the connection can take another request
  std::string retry_after{};             ///< value of the header, empty when there is none
};

/// The request's bytes. Never throws but for want of memory.
/// @errors kInternal.
[[nodiscard]] Result<std::string> serialize(const HttpRequest& request);

/// Reads one answer from pieces as they come. Move-only.
class HttpReader {
 public:
  HttpReader();
  HttpReader(HttpReader&&) noexcept;
  HttpReader& operator=(HttpReader&&) noexcept;
  HttpReader(const HttpReader&) = delete;
  HttpReader& operator=(const HttpReader&) = delete;
  ~HttpReader();

  /// @return whether the answer is complete.
  /// @errors kForged for what is not HTTP or too large.
  Result<bool> feed(std::string_view piece);

  /// The connection has ended.
  /// @return whether the answer was complete by that.
  /// @errors kUnreachable for half an answer.
  Result<bool> finish();

  /// Whether not one byte has come.
  [[nodiscard]] bool untouched() const noexcept;

  /// After feed() or finish() answered true.
  [[nodiscard]] HttpAnswer take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Cookies of one origin: name and value, no more than a few. Attributes are not looked at: a jar
/// lives as long as one session at one endpoint.
class CookieJar {
 public:
  /// Takes `name=value` up to ';' of a Set-Cookie value, replacing one of the same name. What
  /// could break a header (control characters, non-ASCII, too long, too many) is dropped.
  void take(std::string_view set_cookie);
  /// "a=1; b=2".
  [[nodiscard]] std::string header() const;

 private:
  struct Cookie {
    std::string name;
    std::string value;
  };
  std::vector<Cookie> cookies_;
};

}  // namespace vhsm::nitride
