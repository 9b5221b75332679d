// SPDX-License-Identifier: Apache-2.0
//
// bench_folder [--keys N]
//
// What a sealed folder costs: opening it (its root key, head, slots and index) with two keys and
// with N (100 000); a look-up by name in it while nothing changes, which is what vhsmd does for
// each operation; and a change, which writes the index anew. Medians: of processor time, so that
// others' work does not count, and of a change of all time, as it waits for the disk.
#include "keystore/sealed/folder.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "keystore/sealed/layout.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"

namespace {

using namespace vhsm;
using namespace vhsm::keystore::sealed;

constexpr int kOpenings = 21;
constexpr int kLookups = 10'001;
constexpr int kChanges = 11;

/// The value, or the end with the reason.
template <class T>
T need(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s\n", describe(result.error()).c_str());
  std::exit(1);
}
void need(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", describe(status.error()).c_str());
  std::exit(1);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double now_in_us(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

template <class Body>
double microseconds(clockid_t clock, const Body& body) {
  const double start = now_in_us(clock);
  body();
  return now_in_us(clock) - start;
}

SecretBytes slot_key() { return need(SecretBytes::copy(Bytes(kKeyBytes, 'k'))); }

/// One key opens each slot.
class OneKey final : public SlotKeys {
 public:
  Result<SecretBytes> key_for(const SlotTerms& /*terms*/, TimePoint /*deadline*/) override {
    return slot_key();
  }
};

std::string name_of_key(std::size_t i) { return "default/many/key-" + std::to_string(i); }

Bytes index_of(std::size_t keys) {
  std::vector<Record> records;
  for (std::size_t i = 0; i < keys; ++i) {
    Version version;
    version.number = 1;
    version.created = 1'800'000'000 + i;
    version.type = "EC:P-256";
    records.push_back({name_of_key(i), 2, {version}});
  }
  return need(Index::build(records));
}

/// A folder with an index of so many keys; their files, which no look-up reads, are not there.
class BenchFolder {
 public:
  explicit BenchFolder(std::size_t keys) {
    std::string pattern = "/tmp/vhsm-bench-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
    const auto files = need(open_files(path_));
    std::vector<NewSlot> slots;
    for (int i = 0; i < 2; ++i) slots.push_back({{SlotKind::kRecovery, {}}, slot_key()});
    need(Folder::create(*files, slots));
    const Bytes root_file = need(files->read("root.1", 1 << 16));
    const SecretBytes root = need(open_slot(need(parse_slots(root_file))[0], slot_key()));
    const Bytes index = need(seal_box(root, BoxKind::kIndex, {}, ByteView(index_of(keys))));
    const Head head{1, 1, need(digest_of(root_file)), need(digest_of(index))};
    need(files->write("index.1", index));
    need(files->write(kHeadName, need(seal_box(root, BoxKind::kHead, to_bytes(head), ByteView()))));
  }
  ~BenchFolder() { std::filesystem::remove_all(path_); }
  BenchFolder(const BenchFolder&) = delete;
  BenchFolder& operator=(const BenchFolder&) = delete;

  [[nodiscard]] std::unique_ptr<Folder> open() const {
    return std::make_unique<Folder>(need(open_files(path_)), std::make_shared<OneKey>());
  }

 private:
  std::string path_;
};

TimePoint soon() { return Clock::now() + std::chrono::seconds(10); }

void look_up(Folder& folder, std::size_t i) {
  if (!need(folder.find(name_of_key(i), soon())).has_value()) std::exit(1);
}

void measure(std::size_t keys) {
  const BenchFolder made(keys);
  std::vector<double> openings;
  for (int i = 0; i < kOpenings; ++i) {
    openings.push_back(
        microseconds(CLOCK_THREAD_CPUTIME_ID, [&] { look_up(*made.open(), keys - 1); }));
  }
  const auto folder = made.open();
  std::vector<double> lookups;
  for (int i = 0; i < kLookups; ++i) {
    lookups.push_back(microseconds(CLOCK_THREAD_CPUTIME_ID, [&] {
      look_up(*folder, static_cast<std::size_t>(i) * 7919 % keys);
    }));
  }
  std::vector<double> changes;
  for (int i = 0; i < kChanges; ++i) {
    changes.push_back(microseconds(CLOCK_MONOTONIC, [&] {
      need(folder->set_state(name_of_key(0), std::nullopt, State::kEnabled));
    }));
  }
  std::printf("%7zu keys   open and find one %8.2f ms   find one more %6.2f us   change %8.2f ms\n",
              keys, median(openings) / 1000, median(lookups), median(changes) / 1000);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t keys = 100'000;
  if (argc == 3 && std::string_view(argv[1]) == "--keys") {
    keys = static_cast<std::size_t>(std::max(2, std::atoi(argv[2])));
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: bench_folder [--keys N]\n");
    return 1;
  }
  need(memory::initialise({}));
  const memory::Access access;
  need(keystore::warm_up());
  for (const std::size_t count : {std::size_t{2}, keys}) measure(count);
  return 0;
}
