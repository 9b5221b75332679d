// SPDX-License-Identifier: Apache-2.0
#include "cli/subject.h"

#include <openssl/asn1.h>

#include <string_view>
#include <vector>

namespace vhsm::cli {
namespace {

/// At each slash that no backslash stands before; backslashes go.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '/') {
      parts.emplace_back();
      continue;
    }
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    parts.back() += text[i];
  }
  return parts;
}

Status add(X509_NAME* name, const std::string& part) {
  const std::size_t equals = part.find('=');
  const ossl::ErrorMark quiet;
  if (equals != part.npos && equals > 0 && equals + 1 < part.size()) {
    const std::string type = part.substr(0, equals);
    const std::string value = part.substr(equals + 1);
    const auto* const bytes = reinterpret_cast<const unsigned char*>(value.data());
    if (X509_NAME_add_entry_by_txt(name, type.c_str(), MBSTRING_UTF8, bytes,
                                   static_cast<int>(value.size()), -1, 0) == 1) {
      return {};
    }
  }
  return fail(Errc::kInvalidArgument, "this is no part of a subject (/O=Example/CN=www)", part);
}

}  // namespace

Result<ossl::X509Name> parse_subject(const std::string& text) {
  const auto parts = split(text);
  if (!parts.front().empty() || parts.size() < 2) {
    return fail(Errc::kInvalidArgument, "a subject begins with a slash: /CN=www.example.com", text);
  }
  auto name = VHSM_TRY(made(ossl::X509Name(X509_NAME_new()), "no memory for a subject"));
  for (std::size_t i = 1; i < parts.size(); ++i) VHSM_TRY(add(name.get(), parts[i]));
  return name;
}

}  // namespace vhsm::cli
