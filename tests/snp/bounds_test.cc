// SPDX-License-Identifier: Apache-2.0
//
// Lengths that a host or a stranger names: whatever they say, nothing of that size is allocated.
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>

#include "snp/annex.h"
#include "snp/certificate_table.h"
#include "snp/files.h"
#include "snp/kds.h"
#include "snp/launch_digest.h"
#include "snp/little_endian.h"
#include "snp/revocation.h"
#include "snp/sev_guest.h"
#include "snp/vtpm.h"
#include "snp/x509.h"
#include "tests/base/temp_dir.h"
#include "tests/snp/machine.h"
#include "tests/snp/support.h"

namespace {

std::atomic<std::size_t> largest{0};  ///< of all allocations since it was last set to zero

void* allocate(std::size_t size) {
  std::size_t before = largest.load();
  while (before < size && !largest.compare_exchange_weak(before, size)) {
  }
  return std::malloc(std::max<std::size_t>(size, 1));
}

}  // namespace

// For the whole program. The default forms of new[] and nothrow come here, too. Not inline, or the
// compiler sees new met by free.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* const memory = allocate(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace vhsm::snp {
namespace {

constexpr std::uint32_t kHuge = 0xFFFFF000;
constexpr std::size_t kModest = 0x20000;

/// Runs `work`, which must fail or succeed as `succeeds` says, within `bound` bytes at a time.
template <class Work>
void expect_modest(const Work& work, bool succeeds = false, std::size_t bound = kModest) {
  largest = 0;
  const auto result = work();
  const std::size_t seen = largest;
  EXPECT_EQ(result.ok(), succeeds) << outcome(result);
  EXPECT_LE(seen, bound);
}

TEST(BoundsTest, TheWatchSeesWhatIsAllocated) {
  largest = 0;
  const std::vector<std::uint8_t> bytes(3 * kModest);
  EXPECT_GE(largest, bytes.size());
}

TEST(BoundsTest, AnEntryOfTheCertificateTable) {
  for (const std::size_t number : {16U, 20U}) {  // offset, length
    auto table = write_certificate_table(forge(Draft()).certificates).value();
    write_number(std::span(table).subspan(number, 4), kHuge);
    expect_modest([&] { return parse_certificate_table(table); });
  }
}

TEST(BoundsTest, TheCertificateTableItself) {
  const std::vector<std::uint8_t> table(64 << 20);
  expect_modest([&] { return parse_certificate_table(table); });
}

/// A host whose certificates need more room each time it is asked, from `need` on.
class GreedyHost final : public GuestDevice {
 public:
  GreedyHost(std::unique_ptr<GuestDevice> device, std::uint32_t need)
      : device_(std::move(device)), need_(need) {}
  int ioctl(unsigned long code, GuestRequest& request) override {
    if (code != kGetExtendedReport) return device_->ioctl(code, request);
    reinterpret_cast<ExtendedReportRequest*>(request.request_address)->certificates_bytes = need_;
    request.exit_info = host_error::kInvalidLength << 32;
    return EIO;
  }

 private:
  std::unique_ptr<GuestDevice> device_;
  std::uint32_t need_;
};

TEST(BoundsTest, TheRoomThatTheHostsCertificatesNeed) {
  Machine machine([](nlohmann::json&) {});
  SevGuest guest(std::make_unique<GreedyHost>(machine.device(), kHuge), 0, kNoPace);
  expect_modest([&] { return guest.attest({}, kNoDeadline); }, true);
}

TEST(BoundsTest, TheSizeOfTheFirmwaresReport) {
  Machine machine([](nlohmann::json&) {}, {.report_bytes = kHuge});
  SevGuest guest(machine.device(), 0, kNoPace);
  expect_modest([&] { return guest.attest({}, kNoDeadline); });
}

/// configfs-tsm with one file that has no end.
class EndlessFolder final : public TsmFolder {
 public:
  EndlessFolder(std::shared_ptr<TsmFolder> folder, std::string file)
      : folder_(std::move(folder)), file_(std::move(file)) {}
  int make(const std::string& entry) override { return folder_->make(entry); }
  int remove(const std::string& entry) override { return folder_->remove(entry); }
  int write(const std::string& entry, const char* file,
            std::span<const std::uint8_t> bytes) override {
    return folder_->write(entry, file, bytes);
  }
  int read(const std::string& entry, const char* file, std::size_t max_bytes,
           std::vector<std::uint8_t>& into) override {
    if (file != file_) return folder_->read(entry, file, max_bytes, into);
    into.assign(max_bytes + 1, '1');
    return EFBIG;
  }

 private:
  std::shared_ptr<TsmFolder> folder_;
  std::string file_;
};

TEST(BoundsTest, EachFileOfConfigfsTsm) {
  Machine machine([](nlohmann::json& state) { state["vmpl"] = 2; });
  for (const char* file : {tsm_file::kProvider, tsm_file::kPrivlevelFloor, tsm_file::kGeneration,
                           tsm_file::kAuxblob, tsm_file::kOutblob, tsm_file::kManifestblob}) {
    SCOPED_TRACE(file);
    expect_modest([&]() -> Result<Evidence> {
      auto endless = std::make_shared<EndlessFolder>(machine.tsm_folder(), file);
      auto platform = VHSM_TRY(make_tsm(std::move(endless), TsmService::kSvsm, {}, kNoPace));
      return platform->attest({}, kNoDeadline);
    });
  }
}

TEST(BoundsTest, TheClaimsOfAVtpm) {
  auto blob = hcl_blob({}, "{}");
  write_number(std::span(blob).subspan(0x4D0, 4), kHuge);
  expect_modest([&] { return parse_hcl_report(blob); });
}

TEST(BoundsTest, FilesWithoutAnEnd) {
  expect_modest([] { return open_vtpm_file("/dev/zero"); });
  expect_modest([] { return read_roots("", "/dev/zero"); });
  expect_modest([] { return read_id_block("/dev/zero", "/dev/zero"); });
  expect_modest([] { return read_file("/dev/zero", kMaxOvmfBytes); }, false, kMaxOvmfBytes + 1);
}

TEST(BoundsTest, WhatIsSaidToBeACertificateOrAList) {
  const std::vector<std::uint8_t> blob(64 << 20, 0x30);
  largest = 0;
  EXPECT_TRUE(parse_certificates(blob).empty());
  EXPECT_EQ(parse_crl(blob), nullptr);
  EXPECT_LE(largest, kModest);
}

TEST(BoundsTest, AnAnswerOfTheCertificateService) {
  const test::TempDir folder;
  std::string answer(64 << 20, 'x');
  const KdsAccess access{.get = [&](const std::string&) -> Result<KdsAnswer> {
                           return KdsAnswer{200, std::move(answer), {}};
                         },
                         .wait = [](std::chrono::seconds) {}};
  const UnverifiedReport report(forge(Draft()).report);
  expect_modest(
      [&] { return fetch_certificates(report, Product::kMilan, folder.file(""), access); });
}

}  // namespace
}  // namespace vhsm::snp
