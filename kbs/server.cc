// SPDX-License-Identifier: Apache-2.0
//
// The KBS over HTTP.
#include "kbs/server.h"

#include <httplib.h>

#include <openssl/ssl.h>

#include <chrono>
#include <thread>
#include <utility>

namespace vhsm::kbs {
namespace {

using httplib::Request;
using httplib::Response;
using Handled = httplib::Server::HandlerResponse;

constexpr std::string_view kPrefix = "/kbs/v0/";
constexpr std::string_view kResource = "resource/";
constexpr std::size_t kMaxShownBytes = 64;
constexpr time_t kIoSeconds = 10;
constexpr time_t kKeepAliveSeconds = 2;  // an idle connection holds a thread
constexpr auto kStopPoll = std::chrono::milliseconds(5);

void answer(Response& response, const Reply& reply) {
  response.status = reply.status;
  if (!reply.body.empty()) response.set_content(reply.body, "application/json");
  if (!reply.cookie.empty()) response.set_header("Set-Cookie", reply.cookie);
}

std::string peer_of(const Request& request) {
  return request.remote_addr + ":" + std::to_string(request.remote_port);
}

Reply no_plugin(std::string_view rest) {
  const std::string_view name = rest.substr(0, std::min(rest.find('/'), kMaxShownBytes));
  return refusal(404, "PluginNotFound", "Plugin " + std::string(name) + " not found");
}

Reply no_such_path() { return refusal(404, "InvalidRequestPath", "invalid request path"); }

Reply no_administration() {
  return refusal(401, "AdminAuthInitialization",
                 "failed to initialize [admin] configuration: Admin access denied: resources are "
                 "managed by the command vhsm-kbs");
}

Reply get(const Kbs& kbs, const Request& request) {
  const std::string_view path = request.path;
  if (path == "/healthz") return {};
  if (!path.starts_with(kPrefix)) return no_such_path();
  const std::string_view rest = path.substr(kPrefix.size());
  if (!rest.starts_with(kResource)) return no_plugin(rest);
  return kbs.provisioning().resource(rest.substr(kResource.size()),
                                     request.get_header_value("Cookie"),
                                     request.get_header_value("Authorization"), peer_of(request));
}

Reply other_method(const Request& request) {
  const std::string_view path = request.path;
  if (request.method != "POST" && request.method != "DELETE" && request.method != "PUT") {
    return refusal(405, "InvalidRequestPath", "method not allowed");
  }
  if (!path.starts_with(kPrefix)) return no_such_path();
  const std::string_view rest = path.substr(kPrefix.size());
  return rest.starts_with(kResource) ? no_administration() : no_plugin(rest);
}

/// All routing but the two requests with a body: cpp-httplib's own is by regular expressions, which
/// recurse once for each byte of a path.
Handled route(const Kbs& kbs, const Request& request, Response& response) {
  if (request.method == "GET") {
    answer(response, get(kbs, request));
    return Handled::Handled;
  }
  const bool handshake = request.path == "/kbs/v0/auth" || request.path == "/kbs/v0/attest";
  if (request.method == "POST" && handshake && !request.is_multipart_form_data()) {
    return Handled::Unhandled;
  }
  answer(response, other_method(request));
  return Handled::Handled;
}

/// Counts what arrives, also when it is chunked or compressed, which cpp-httplib does not.
bool read_body(const httplib::ContentReader& reader, std::string& body) {
  return reader([&](const char* data, std::size_t size) {
    if (size > kMaxBodyBytes - body.size()) return false;
    body.append(data, size);
    return true;
  });
}

template <class Handle>
auto with_body(Handle handle) {
  return
      [handle](const Request& request, Response& response, const httplib::ContentReader& reader) {
        std::string body;
        if (!read_body(reader, body)) {
          answer(response, refusal(413, "InvalidRequest", "the request is too big or incomplete"));
          return;
        }
        answer(response, handle(request, body));
      };
}

void set_routes(httplib::Server& server, const Kbs& kbs) {
  server.set_pre_routing_handler(
      [&kbs](const Request& request, Response& response) { return route(kbs, request, response); });
  server.Post("/kbs/v0/auth", with_body([&kbs](const Request& request, const std::string& body) {
                return kbs.attestation().auth(body, peer_of(request));
              }));
  server.Post("/kbs/v0/attest", with_body([&kbs](const Request& request, const std::string& body) {
                return kbs.attestation().attest(request.get_header_value("Cookie"), body,
                                                peer_of(request));
              }));
  server.set_error_handler([](const Request& /*request*/, Response& response) {
    if (!response.body.empty()) return;
    answer(response, refusal(response.status, "InvalidRequest", "invalid request"));
  });
  server.set_exception_handler(
      [](const Request& /*request*/, Response& response, const std::exception_ptr& /*thrown*/) {
        answer(response, refusal(500, "PluginInternalError", "Plugin internal error"));
      });
}

void set_limits(httplib::Server& server, const Config& config) {
  server.new_task_queue = [threads = config.threads] { return new httplib::ThreadPool(threads); };
  server.set_payload_max_length(kMaxBodyBytes);
  server.set_read_timeout(kIoSeconds);
  server.set_write_timeout(kIoSeconds);
  server.set_keep_alive_timeout(kKeepAliveSeconds);
  server.set_tcp_nodelay(true);
}

bool set_tls(SSL_CTX& ctx, const Config& config) {
  return SSL_CTX_set_min_proto_version(&ctx, TLS1_2_VERSION) == 1 &&
         SSL_CTX_use_certificate_chain_file(&ctx, config.certificate.c_str()) == 1 &&
         SSL_CTX_use_PrivateKey_file(&ctx, config.private_key.c_str(), SSL_FILETYPE_PEM) == 1 &&
         SSL_CTX_check_private_key(&ctx) == 1;
}

Result<std::unique_ptr<httplib::Server>> make_server(const Config& config) {
  if (config.insecure_http) return std::make_unique<httplib::Server>();
  std::unique_ptr<httplib::Server> server = std::make_unique<httplib::SSLServer>(
      [&config](SSL_CTX& ctx) { return set_tls(ctx, config); });
  if (!server->is_valid()) {
    return fail(Errc::kBadFormat, "no usable TLS certificate and key", config.certificate);
  }
  return server;
}

std::string shown(const Listen& listen, int port) {
  const bool v6 = listen.host.find(':') != std::string::npos;
  return (v6 ? "[" + listen.host + "]" : listen.host) + ":" + std::to_string(port);
}

}  // namespace

HttpServer::HttpServer(std::unique_ptr<httplib::Server> server, std::string url, int port)
    : server_(std::move(server)), url_(std::move(url)), port_(port) {}
HttpServer::HttpServer(HttpServer&&) noexcept = default;
HttpServer::~HttpServer() = default;

Result<HttpServer> HttpServer::open(const Kbs& kbs) {
  const Config& config = kbs.config();
  auto server = VHSM_TRY(make_server(config));
  set_routes(*server, kbs);
  set_limits(*server, config);
  int port = config.listen.port;
  if (port == 0) {
    port = server->bind_to_any_port(config.listen.host);
  } else if (!server->bind_to_port(config.listen.host, port)) {
    port = -1;
  }
  if (port < 0) {
    return fail(Errc::kIo, "the address cannot be bound", shown(config.listen, config.listen.port));
  }
  const char* scheme = config.insecure_http ? "http://" : "https://";
  return HttpServer(std::move(server), scheme + shown(config.listen, port), port);
}

void HttpServer::run() { server_->listen_after_bind(); }

void HttpServer::stop() {
  while (!server_->is_running()) std::this_thread::sleep_for(kStopPoll);
  server_->stop();
}

}  // namespace vhsm::kbs
