// SPDX-License-Identifier: Apache-2.0
//
// The one file that includes Boost.Beast, for its parser and serializer alone: no sockets, no
// io_context, no threads.
#include "nitride/http.h"

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <utility>

namespace vhsm::nitride {
namespace {

namespace http = boost::beast::http;
namespace net = boost::asio;
using boost::system::error_code;

constexpr std::size_t kMaxCookies = 8;
constexpr std::size_t kMaxCookieBytes = 4096;

http::request<http::string_body> to_beast(const HttpRequest& request) {
  constexpr unsigned kHttp11 = 11;
  http::request<http::string_body> message(request.is_post ? http::verb::post : http::verb::get,
                                           request.target, kHttp11);
  message.set(http::field::host, request.host);
  message.set(http::field::user_agent, "vhsm/" VHSM_VERSION);
  message.set(http::field::accept, "application/json");
  if (!request.cookies.empty()) message.set(http::field::cookie, request.cookies);
  if (!request.bearer.empty()) message.set(http::field::authorization, "Bearer " + request.bearer);
  if (request.is_post) {
    message.set(http::field::content_type, "application/json");
    message.body() = request.json_body;
    message.prepare_payload();
  }
  return message;
}

/// Appends what the serializer hands out. An object and not a lambda, because it is passed by copy.
struct Collect {
  http::request_serializer<http::string_body>* serializer;
  std::string* text;
  template <class Buffers>
  void operator()(error_code& error, const Buffers& buffers) const {
    error = {};
    text->append(boost::beast::buffers_to_string(buffers));
    serializer->consume(boost::beast::buffer_bytes(buffers));
  }
};

bool is_token_char(char c) {
  return c > ' ' && c <= '~' &&
         std::string_view("()<>@,;:\\\"/[]?={}").find(c) == std::string::npos;
}

bool is_cookie_char(char c) {
  return c > ' ' && c <= '~' && c != '"' && c != ',' && c != ';' && c != '\\';
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace

Result<std::string> serialize(const HttpRequest& request) {
  try {
    auto message = to_beast(request);
    http::request_serializer<http::string_body> serializer(message);
    std::string text;
    error_code error;
    while (!serializer.is_done() && !error) serializer.next(error, Collect{&serializer, &text});
    if (error) return fail(Errc::kInternal, "the request cannot be written as HTTP");
    return text;
  } catch (...) {  // Beast throws length_error for oversized fields
    return fail(Errc::kInternal, "the request cannot be written as HTTP");
  }
}

struct HttpReader::State {
  State() {
    parser.body_limit(kMaxBodyBytes);
    parser.header_limit(kMaxHeaderBytes);
  }
  http::response_parser<http::string_body> parser;
  std::string pending;  ///< what the parser has not taken yet: the head until it is whole
  bool touched = false;
};

HttpReader::HttpReader() : state_(std::make_unique<State>()) {}
HttpReader::HttpReader(HttpReader&&) noexcept = default;
HttpReader& HttpReader::operator=(HttpReader&&) noexcept = default;
HttpReader::~HttpReader() = default;

bool HttpReader::untouched() const noexcept { return !state_->touched; }

Result<bool> HttpReader::feed(std::string_view piece) {
  state_->touched = true;
  auto& parser = state_->parser;
  try {
    state_->pending.append(piece);
    while (!parser.is_done()) {
      error_code error;
      // The head by itself: an eager Beast 1.74 goes on over the error of a Content-Length beyond
      // the limit, and reserves that much.
      parser.eager(parser.is_header_done());
      const std::size_t taken = parser.put(net::buffer(std::as_const(state_->pending)), error);
      state_->pending.erase(0, taken);
      if (error == http::error::need_more) return false;
      if (error == http::error::body_limit || error == http::error::header_limit) {
        return fail(Errc::kForged, "the KBS's answer is larger than any resource may be");
      }
      if (error) return fail(Errc::kForged, "the KBS's answer is not valid HTTP");
      if (taken == 0 || state_->pending.empty()) return parser.is_done();
    }
    return true;
  } catch (...) {  // bad_alloc, or length_error of a field
    return fail(Errc::kForged, "the KBS's answer is not valid HTTP");
  }
}

Result<bool> HttpReader::finish() {
  auto& parser = state_->parser;
  error_code error;
  if (parser.is_header_done()) parser.put_eof(error);
  if (parser.is_done() && !error) return true;
  return fail(Errc::kUnreachable, "the KBS closed the connection before its answer was complete");
}

HttpAnswer HttpReader::take() {
  auto message = state_->parser.release();
  HttpAnswer answer;
  answer.status = message.result_int();
  answer.keeps_alive = message.keep_alive() && state_->pending.empty();
  const auto cookies = message.equal_range(http::field::set_cookie);
  for (auto it = cookies.first; it != cookies.second; ++it) {
    answer.set_cookies.emplace_back(it->value().data(), it->value().size());
  }
  answer.body = std::move(message.body());
  return answer;
}

void CookieJar::take(std::string_view set_cookie) {
  const std::string_view pair = set_cookie.substr(0, set_cookie.find(';'));
  const std::size_t equals = pair.find('=');
  if (equals == std::string_view::npos || pair.size() > kMaxCookieBytes) return;
  const std::string_view name = trimmed(pair.substr(0, equals));
  const std::string_view value = trimmed(pair.substr(equals + 1));
  if (name.empty() || !std::ranges::all_of(name, is_token_char)) return;
  if (!std::ranges::all_of(value, is_cookie_char)) return;
  const auto old = std::ranges::find(cookies_, name, &Cookie::name);
  if (old != cookies_.end()) {
    old->value = value;
  } else if (cookies_.size() < kMaxCookies) {
    cookies_.push_back({std::string(name), std::string(value)});
  }
}

std::string CookieJar::header() const {
  std::string text;
  for (const Cookie& cookie : cookies_) {
    if (!text.empty()) text += "; ";
    text.append(cookie.name).append("=").append(cookie.value);
  }
  return text;
}

}  // namespace vhsm::nitride
