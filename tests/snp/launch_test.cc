// SPDX-License-Identifier: Apache-2.0
//
// Firmware images and launch digests: what is malformed. That digests are right, a second
// implementation says (tests/cli/measure_test.cc).
#include <functional>

#include "snp/guid.h"
#include "snp/id_block.h"
#include "snp/launch_digest.h"
#include "snp/little_endian.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

constexpr std::size_t kImageBytes = 2 * 4096;
constexpr std::size_t kMetadataAt = 4096;
constexpr std::size_t kSections = 3;

/// An image of two pages, whose metadata begins the second and whose table holds all three places.
struct Image {
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(kImageBytes);
  std::size_t table_end = kImageBytes - 32;

  Image() {
    put_metadata();
    put_table({{"dc886566-984a-4798-a75e-5585a7bf67cc", kImageBytes - kMetadataAt},
               {"7255371f-3a3b-4b04-927b-1da6efa8d454", 0x810C00},
               {"00f771de-1a7e-4fcb-890e-68c77e2fb44e", 0x80B004}});
  }

  void word(std::size_t at, std::uint64_t value) {
    write_number(std::span(bytes).subspan(at, 4), value);
  }

  void put_metadata() {
    const std::uint32_t words[] = {0x56455341, 16 + 12 * kSections,
                                   1,          kSections,  // "ASEV"
                                   0x800000,   0x2000,
                                   1,  //
                                   0x802000,   0x1000,
                                   3,  //
                                   0x810000,   0x1000,
                                   0x10};
    for (std::size_t i = 0; i < std::size(words); ++i) word(kMetadataAt + 4 * i, words[i]);
  }

  struct Entry {
    const char* guid;
    std::uint64_t value;
  };
  void put_table(const std::vector<Entry>& entries) {
    constexpr std::size_t kEntryBytes = 22;
    std::size_t at = table_end - 18 - kEntryBytes * entries.size();
    for (const Entry& entry : entries) {
      word(at, entry.value);
      tail(at + 4, kEntryBytes, entry.guid);
      at += kEntryBytes;
    }
    tail(at, 18 + kEntryBytes * entries.size(), "96b582de-1fb2-45f7-baea-a366c55a082d");
  }

  void tail(std::size_t at, std::size_t size, const char* guid) {
    write_number(std::span(bytes).subspan(at, 2), size);
    std::ranges::copy(swap_groups(parse_guid(guid).value()),
                      bytes.begin() + static_cast<std::ptrdiff_t>(at + 2));
  }
};

std::string outcome_of(const std::function<void(Image&)>& edit) {
  Image image;
  edit(image);
  return outcome(parse_ovmf(image.bytes));
}

TEST(OvmfTest, ReadsSectionsAndPlaces) {
  const Image image;
  const auto ovmf = parse_ovmf(image.bytes);
  ASSERT_EQ(outcome(ovmf), "ok");
  EXPECT_EQ(ovmf.value().gpa, 0xFFFFE000U);
  EXPECT_EQ(ovmf.value().reset_vector, 0x80B004U);
  EXPECT_EQ(ovmf.value().hash_table, 0x810C00U);
  ASSERT_EQ(ovmf.value().sections.size(), kSections);
  EXPECT_EQ(ovmf.value().sections[1].type, SectionType::kCpuid);
  EXPECT_EQ(ovmf.value().sections[1].gpa, 0x802000U);
}

TEST(OvmfTest, RefusesWhatIsNotWholePages) {
  const std::string expected = "bad length: a firmware image is whole pages of 4 KiB, up to 64 MiB";
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kImageBytes - 1}) {
    EXPECT_EQ(outcome_of([&](Image& image) { image.bytes.resize(size); }), expected);
  }
}

struct Broken {
  const char* outcome;
  std::function<void(Image&)> edit;
};

TEST(OvmfTest, RefusesTablesAndMetadataThatLie) {
  const std::size_t footer = kImageBytes - 32 - 18;
  const std::size_t offset_entry = footer - 3 * 22;
  const Broken cases[] = {
      {"the firmware has no table of an OVMF image at its end",
       [&](Image& image) { image.bytes[footer + 2] ^= 1; }},
      {"the firmware has no table of an OVMF image at its end",
       [&](Image& image) { image.bytes[footer] = 17; }},
      {"an entry of the firmware's table has a wrong size",
       [&](Image& image) { image.bytes[footer - 18] = 17; }},
      {"an entry of the firmware's table has a wrong size",
       [&](Image& image) { image.bytes[footer - 17] = 0xFF; }},
      {"an entry of the firmware's table is too short",
       [&](Image& image) { image.bytes[footer - 18] = 18; }},
      {"the firmware has no SEV metadata: it is not made for SEV-SNP",
       [&](Image& image) { image.bytes[offset_entry + 6] ^= 1; }},
      {"the firmware's SEV metadata lies outside it",
       [&](Image& image) { image.word(offset_entry, kImageBytes + 1); }},
      {"the firmware's SEV metadata lies outside it",
       [&](Image& image) { image.word(offset_entry, 15); }},
      {"the firmware's SEV metadata is not of version 1",
       [&](Image& image) { image.bytes[kMetadataAt] = 'X'; }},
      {"the firmware's SEV metadata is not of version 1",
       [&](Image& image) { image.word(kMetadataAt + 8, 2); }},
      {"the firmware's SEV metadata has too many sections",
       [&](Image& image) { image.word(kMetadataAt + 12, 0xFFFFFFFF); }},
      {"the firmware's SEV metadata has too many sections",
       [&](Image& image) { image.word(kMetadataAt + 12, kSections + 1); }},
      {"the firmware asks for pages of an unknown type",
       [&](Image& image) { image.word(kMetadataAt + 24, 5); }},
      {"the firmware asks for pages that are not aligned, or not one",
       [&](Image& image) { image.word(kMetadataAt + 16, 0x800001); }},
      {"the firmware asks for pages that are not aligned, or not one",
       [&](Image& image) { image.word(kMetadataAt + 20, 0); }},
      {"the firmware asks for pages that are not aligned, or not one",
       [&](Image& image) { image.word(kMetadataAt + 32, 0x2000); }},
      {"the firmware asks for more than 256 MiB of pages",
       [&](Image& image) { image.word(kMetadataAt + 20, 0xFFFFF000); }},
  };
  for (const Broken& one : cases) {
    EXPECT_EQ(outcome_of(one.edit), std::string("malformed data: ") + one.outcome);
  }
}

TEST(LaunchTest, RefusesWhatTheFirmwareCannotDo) {
  const Image image;
  Ovmf ovmf = parse_ovmf(image.bytes).value();
  Launch launch{.firmware = &ovmf, .kernel = KernelHashes{}};
  launch.vcpus = 2;
  EXPECT_EQ(outcome(launch_digest(launch)), "ok");
  ovmf.reset_vector.reset();
  EXPECT_EQ(outcome(launch_digest(launch)),
            "invalid argument: the firmware has no reset vector for further vCPUs");
  launch.vcpus = 1;
  EXPECT_EQ(outcome(launch_digest(launch)), "ok");
  ovmf.hash_table = 0x810F80;
  EXPECT_EQ(outcome(launch_digest(launch)),
            "invalid argument: the firmware's table of kernel hashes crosses its page");
  ovmf.sections.pop_back();
  EXPECT_EQ(outcome(launch_digest(launch)),
            "invalid argument: the firmware has no place for the hashes of a kernel");
  for (const std::uint32_t vcpus : {0U, kMaxVcpus + 1}) {
    launch.vcpus = vcpus;
    EXPECT_EQ(outcome(launch_digest(launch)), "invalid argument: a guest has 1 to 4096 vCPUs");
  }
}

TEST(LaunchTest, KnowsQemusModelsWithAndWithoutTheirVersion) {
  for (const CpuModel& model : cpu_models()) {
    EXPECT_EQ(cpu_signature(model.name).value(), model.signature);
    EXPECT_EQ(cpu_signature(std::string(model.name) + "-v2").value(), model.signature);
  }
  for (const char* name : {"", "-v1", "EPYC-Milan-v", "EPYC-Milan-v10", "epyc", "host"}) {
    EXPECT_EQ(cpu_signature(name).error().code, Errc::kInvalidArgument) << name;
  }
  EXPECT_EQ(parse_vmm("xen").error().code, Errc::kInvalidArgument);
}

GuestIdentity some_identity() {
  return {Measurement{{1, 2}}, FamilyId{{3}}, ImageId{{4}}, 7, policy_bit::kAlwaysOne};
}

TEST(IdBlockTest, RefusesOtherKeysAndPolicies) {
  GuestIdentity identity;
  EXPECT_EQ(make_id_block(identity).error().code, Errc::kInvalidArgument);
  identity.policy = policy_bit::kAlwaysOne;
  const auto block = make_id_block(identity);
  ASSERT_EQ(outcome(block), "ok");
  EXPECT_EQ(outcome(authenticate(block.value(), authority().ark.key.get(), nullptr)),
            "invalid argument: ID and author keys are on P-384");
}

TEST(IdBlockTest, SaysWhoSignedItAndWhoSignedTheKey) {
  const ossl::PKey owner = p384_key();
  const ossl::PKey author = p384_key();
  const SignedBlock alone = sign_block(some_identity(), owner.get());
  const auto read = check_id_block(alone.block, alone.authentication);
  ASSERT_EQ(outcome(read), "ok");
  EXPECT_EQ(read.value().guest.guest_svn, 7U);
  EXPECT_EQ(read.value().guest.measurement, some_identity().measurement);
  EXPECT_EQ(read.value().id_key, key_digest(owner.get()).value());
  EXPECT_FALSE(read.value().author_key.has_value());
  const SignedBlock vouched = sign_block(some_identity(), owner.get(), author.get());
  EXPECT_EQ(check_id_block(vouched.block, vouched.authentication).value().author_key,
            key_digest(author.get()).value());
}

TEST(IdBlockTest, IsRefusedWhenAnyOfItsBytesChanges) {
  const ossl::PKey owner = p384_key();
  const ossl::PKey author = p384_key();
  SignedBlock block = sign_block(some_identity(), owner.get(), author.get());
  for (std::uint8_t& byte : block.block) {
    byte ^= 0x20;
    EXPECT_FALSE(check_id_block(block.block, block.authentication).ok());
    byte ^= 0x20;
  }
  // Algorithms, both signatures, both keys: algorithm, then X and Y or r and s.
  for (const Field& part :
       {Field{0, 8}, Field{0x40, 144}, Field{0x240, 148}, Field{0x680, 144}, Field{0x880, 148}}) {
    for (std::size_t at = part.offset; at < part.offset + part.size; ++at) {
      block.authentication[at] ^= 0x20;
      EXPECT_FALSE(check_id_block(block.block, block.authentication).ok()) << at;
      block.authentication[at] ^= 0x20;
    }
  }
  EXPECT_EQ(outcome(check_id_block(block.block, block.authentication)), "ok");
}

}  // namespace
}  // namespace vhsm::snp
