// SPDX-License-Identifier: Apache-2.0
#include "evidence/cmw.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "jose/base64.h"
#include "jose/json.h"

namespace vhsm::evidence {
namespace {

constexpr std::string_view kTypeLabel = "__cmwc_t";

Error malformed(std::string_view what) {
  return fail(Errc::kBadFormat, "not a collection of conceptual messages", what);
}

Status check_indicator(std::uint64_t indicator, std::string_view label) {
  if (indicator > 0 && indicator <= std::numeric_limits<std::uint32_t>::max()) return {};
  return malformed(label);
}

/// What both encodings have in common.
class Builder {
 public:
  Status set_type(std::string_view type) {
    if (type.empty() || !collection_.type.empty()) return malformed(kTypeLabel);
    collection_.type = type;
    return {};
  }
  Status add(Record record) {
    const bool fits = !record.label.empty() && collection_.records.size() < kMaxRecords;
    if (!fits || collection_.find(record.label) != nullptr) return malformed(record.label);
    collection_.records.push_back(std::move(record));
    return {};
  }
  Result<Collection> done() && {
    if (collection_.type.empty() || collection_.records.empty()) return malformed(kTypeLabel);
    return std::move(collection_);
  }

 private:
  Collection collection_;
};

Result<Record> read_record(std::string_view label, CborReader& reader) {
  const std::size_t parts = VHSM_TRY(reader.array());
  if (parts != 2 && parts != 3) return malformed(label);
  const std::string_view type = VHSM_TRY(reader.text());
  const ByteView value = VHSM_TRY(reader.bytes());
  Record record{std::string(label), std::string(type), {value.begin(), value.end()}};
  if (parts == 2) return record;
  const std::uint64_t indicator = VHSM_TRY(reader.number());
  VHSM_TRY(check_indicator(indicator, label));
  record.indicator = static_cast<std::uint32_t>(indicator);
  return record;
}

Result<Record> read_record(const std::string& label, const nlohmann::json& json) {
  const bool has_parts = json.is_array() && (json.size() == 2 || json.size() == 3);
  if (!has_parts || !json[0].is_string() || !json[1].is_string()) return malformed(label);
  auto value = VHSM_TRY(jose::from_base64url(json[1].get_ref<const std::string&>()));
  Record record{label, json[0].get<std::string>(), std::move(value)};
  if (json.size() == 2) return record;
  if (!json[2].is_number_unsigned()) return malformed(label);
  const auto indicator = json[2].get<std::uint64_t>();
  VHSM_TRY(check_indicator(indicator, label));
  record.indicator = static_cast<std::uint32_t>(indicator);
  return record;
}

}  // namespace

const Record* Collection::find(std::string_view label) const noexcept {
  const auto found = std::ranges::find(records, label, &Record::label);
  return found == records.end() ? nullptr : &*found;
}

Bytes to_cbor(const Collection& collection) {
  Bytes bytes;
  CborWriter writer(bytes);
  writer.map(collection.records.size() + 1);
  writer.text(kTypeLabel);
  writer.text(collection.type);
  for (const Record& record : collection.records) {
    writer.text(record.label);
    writer.array(record.indicator == 0 ? 2 : 3);
    writer.text(record.type);
    writer.bytes(record.value);
    if (record.indicator != 0) writer.number(record.indicator);
  }
  return bytes;
}

nlohmann::ordered_json to_json(const Collection& collection) {
  nlohmann::ordered_json json{{std::string(kTypeLabel), collection.type}};
  for (const Record& record : collection.records) {
    auto parts =
        nlohmann::ordered_json::array({record.type, jose::base64url(ByteView(record.value))});
    if (record.indicator != 0) parts.push_back(record.indicator);
    json[record.label] = std::move(parts);
  }
  return json;
}

Result<Collection> collection_from_cbor(ByteView bytes) {
  CborReader reader(bytes);
  Builder builder;
  const std::size_t count = VHSM_TRY(reader.map());
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view label = VHSM_TRY(reader.text());
    if (label == kTypeLabel) {
      const std::string_view type = VHSM_TRY(reader.text());
      VHSM_TRY(builder.set_type(type));
      continue;
    }
    Record record = VHSM_TRY(read_record(label, reader));
    VHSM_TRY(builder.add(std::move(record)));
  }
  if (!reader.at_end()) return malformed("bytes behind it");
  return std::move(builder).done();
}

Result<Collection> collection_from_json(std::string_view text) {
  const auto json = VHSM_TRY(jose::parse_object(text));
  Builder builder;
  for (const auto& [label, value] : json.items()) {
    if (label == kTypeLabel) {
      if (!value.is_string()) return malformed(label);
      VHSM_TRY(builder.set_type(value.get_ref<const std::string&>()));
      continue;
    }
    Record record = VHSM_TRY(read_record(label, value));
    VHSM_TRY(builder.add(std::move(record)));
  }
  return std::move(builder).done();
}

}  // namespace vhsm::evidence
