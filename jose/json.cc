// SPDX-License-Identifier: Apache-2.0
//
// JSON from outside: parsed without exceptions, read with the type checked.
#include "jose/json.h"

namespace vhsm::jose {

Result<Json> parse_object(std::string_view text) {
  Json object = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!object.is_object()) return fail(Errc::kBadFormat, "not a JSON object");
  return object;
}

const Json* find_member(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(name);
  return it == object.end() ? nullptr : &*it;
}

Result<std::string_view> text_member(const Json& object, std::string_view name) {
  const Json* member = find_member(object, name);
  if (member == nullptr) return fail(Errc::kBadFormat, "a JSON member is missing", name);
  const auto* text = member->get_ptr<const std::string*>();
  if (text == nullptr) return fail(Errc::kBadFormat, "a JSON member is not a string", name);
  return std::string_view(*text);
}

}  // namespace vhsm::jose
