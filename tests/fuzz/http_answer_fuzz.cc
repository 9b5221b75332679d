// SPDX-License-Identifier: Apache-2.0
//
// What a KBS may answer, in pieces of any size: the reader's verdict does not depend on the pieces,
// and every meaning that is made of it is short and printable.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "nitride/http.h"
#include "nitride/protocol.h"

namespace {

using vhsm::nitride::HttpAnswer;

std::optional<HttpAnswer> read(std::string_view raw, std::size_t piece) {
  vhsm::nitride::HttpReader reader;
  bool done = false;
  for (; !done && !raw.empty(); raw.remove_prefix(std::min(piece, raw.size()))) {
    const auto fed = reader.feed(raw.substr(0, piece));
    if (!fed.ok()) return std::nullopt;
    done = fed.value();
  }
  if (!done && !reader.finish().ok()) return std::nullopt;
  return reader.take();
}

void judge(const HttpAnswer& answer) {
  using vhsm::nitride::Stage;
  for (const Stage stage : {Stage::kAuth, Stage::kAttest, Stage::kResource}) {
    if (vhsm::nitride::classify(stage, answer).detail.size() > 300) std::abort();
  }
  static_cast<void>(vhsm::nitride::parse_challenge(answer.body));
  const auto approval = vhsm::nitride::parse_approval(answer.body);
  // It goes into a header of the next request.
  if (approval.ok() && approval.value().token.find_first_of(" \r\n") != std::string::npos)
    std::abort();
  vhsm::nitride::CookieJar jar;
  for (const auto& value : answer.set_cookies) jar.take(value);
  if (jar.header().find_first_of("\r\n") != std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view raw(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = read(raw, raw.size() + 1);
  const auto pieces = read(raw, std::size_t{data[0]} + 1);
  if (whole.has_value() != pieces.has_value()) std::abort();
  if (!whole.has_value()) return 0;
  if (whole->status != pieces->status || whole->body != pieces->body) std::abort();
  judge(*whole);
  return 0;
}
