// SPDX-License-Identifier: Apache-2.0
#include "evidence/cmw.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/evidence/samples.h"

namespace vhsm::evidence {
namespace {

Collection sample() {
  return {"urn:example:type",
          {{"a", "application/a", bytes_of("\x01\x02"), indicator::kEvidence},
           {"longer", "text/plain; charset=utf-8", bytes_of("text"), 0}}};
}

Result<Collection> read_json(const std::string& text) { return collection_from_json(text); }

/// CBOR in the form of Bytes.
template <class... Byte>
Bytes raw(Byte... byte) {
  return {static_cast<std::uint8_t>(byte)...};
}

TEST(CmwTest, IsWrittenAsTheStandardHasIt) {
  const Collection collection{"u:t", {{"a", "b/c", raw(1, 2), 4}}};
  EXPECT_EQ(to_cbor(collection),
            raw(0xa2, 0x68, '_', '_', 'c', 'm', 'w', 'c', '_', 't', 0x63, 'u', ':', 't',  //
                0x61, 'a', 0x83, 0x63, 'b', '/', 'c', 0x42, 1, 2, 4));
  EXPECT_EQ(to_json(collection).dump(), R"({"__cmwc_t":"u:t","a":["b/c","AQI",4]})");
}

TEST(CmwTest, ComesBackFromBothEncodings) {
  EXPECT_EQ(collection_from_cbor(to_cbor(sample())).value(), sample());
  EXPECT_EQ(read_json(to_json(sample()).dump()).value(), sample());
}

TEST(CmwTest, ATruncatedOrLongerMessageIsRefusedAtEachByte) {
  const Bytes whole = to_cbor(sample());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(collection_from_cbor(ByteView(whole).first(size)).ok()) << size;
  }
  Bytes longer = whole;
  longer.push_back(0);
  EXPECT_FALSE(collection_from_cbor(longer).ok());
}

TEST(CmwTest, RefusesWhatIsNoCollectionOfRecords) {
  for (const char* text : {
           R"([])", R"({})",
           R"({"a":["b/c","AQI"]})",                              // no type
           R"({"__cmwc_t":"u:t"})",                               // no record
           R"({"__cmwc_t":1,"a":["b/c","AQI"]})",                 // a type that is no text
           R"({"__cmwc_t":"u:t","a":["b/c"]})",                   // no value
           R"({"__cmwc_t":"u:t","a":["b/c","AQI",4,1]})",         // too much
           R"({"__cmwc_t":"u:t","a":[30001,"AQI"]})",             // a number for a type
           R"({"__cmwc_t":"u:t","a":["b/c","AQI="]})",            // padded
           R"({"__cmwc_t":"u:t","a":["b/c","AQI",0]})",           // an empty indicator
           R"({"__cmwc_t":"u:t","a":["b/c","AQI",4294967296]})",  // a long one
           R"({"__cmwc_t":"u:t","a":["b/c","AQI",-1]})",          //
           R"({"__cmwc_t":"u:t","":["b/c","AQI"]})",              // no label
           R"({"__cmwc_t":"u:t","a":{"__cmwc_t":"u:t"}})",        // nested
       }) {
    EXPECT_FALSE(read_json(text).ok()) << text;
  }
}

TEST(CmwTest, RefusesALabelThatIsThereTwice) {
  Collection twice = sample();
  twice.records.push_back(twice.records.front());
  EXPECT_FALSE(collection_from_cbor(to_cbor(twice)).ok());
}

TEST(CmwTest, RefusesMoreRecordsThanEvidenceHas) {
  Collection many{"u:t", {}};
  for (std::size_t i = 0; i < kMaxRecords; ++i) {
    many.records.push_back({"r" + std::to_string(i), "a/b", {}, 0});
  }
  EXPECT_TRUE(collection_from_cbor(to_cbor(many)).ok());
  many.records.push_back({"one more", "a/b", {}, 0});
  EXPECT_FALSE(collection_from_cbor(to_cbor(many)).ok());
}

}  // namespace
}  // namespace vhsm::evidence
