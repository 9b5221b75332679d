// SPDX-License-Identifier: Apache-2.0
//
// Files of a sealed folder that somebody else has written. The first byte says what the rest is: a
// box, slots, an index's body, or a file in the place of one of a folder that holds a key. No byte
// is read beyond the end, what an index tells can be written again, and a folder with a foreign
// file never yields its key as if nothing had happened.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "keystore/sealed/folder.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"

namespace {

using namespace vhsm;                    // NOLINT(google-build-using-namespace): the target is this
using namespace vhsm::keystore::sealed;  // NOLINT(google-build-using-namespace)

using Contents = std::map<std::string, Bytes>;

class MapFiles final : public Files {
 public:
  explicit MapFiles(Contents& contents) : contents_(contents) {}
  Result<Bytes> read(const std::string& name, std::size_t most) override {
    const auto found = contents_.find(name);
    if (found == contents_.end()) return fail(Errc::kMissing, "no such file", name);
    if (found->second.size() > most) return fail(Errc::kTampered, "this file is too long", name);
    return found->second;
  }
  Status write(const std::string& name, ByteView bytes) override {
    contents_[name].assign(bytes.begin(), bytes.end());
    return {};
  }
  Status sync(const std::string& /*name*/) override { return {}; }
  Status rename(const std::string& from, const std::string& to) override {
    contents_[to] = contents_.extract(from).mapped();
    return {};
  }
  Status remove(const std::string& name) override {
    contents_.erase(name);
    return {};
  }
  Status sync_folder() override { return {}; }
  Result<std::vector<std::string>> names() override { return std::vector<std::string>(); }
  Result<Lock> lock(std::chrono::milliseconds /*patience*/) override { return Lock(); }

 private:
  Contents& contents_;
};

class OneKey final : public SlotKeys {
 public:
  Result<SecretBytes> key_for(const SlotTerms& /*terms*/, TimePoint /*deadline*/) override {
    return SecretBytes::copy(Bytes(kKeyBytes, 'k'));
  }
};

constexpr const char* kName = "a/b/c";

/// A folder with one key.
Contents make_folder() {
  Contents contents;
  MapFiles files(contents);
  std::vector<NewSlot> slots;
  for (int i = 0; i < 2; ++i) {
    slots.push_back({{SlotKind::kRecovery, {}}, OneKey().key_for({}, {}).value()});
  }
  if (!Folder::create(files, slots).ok()) std::abort();
  Folder folder(std::make_unique<MapFiles>(contents), std::make_shared<OneKey>());
  const auto key = SecretBytes::copy(view("the key"));
  if (!folder.add(kName, {Content::kSecret, Origin::kGenerated, "56", {}}, key.value()).ok()) {
    std::abort();
  }
  return contents;
}

void try_index(ByteView input) {
  const auto index = Index::parse(Bytes(input.begin(), input.end()));
  if (!index.ok()) return;
  static_cast<void>(index.value().find(kName));
  const auto records = index.value().records();
  if (!records.ok()) return;
  for (const Record& record : records.value()) {
    const auto written = Index::build({record});
    if (!written.ok()) continue;  // longer than we would write it
    const auto read = Index::parse(written.value());
    if (!read.ok() || read.value().find(record.name).value() != record) std::abort();
  }
}

void try_folder(ByteView input) {
  static const Contents good = make_folder();
  if (input.empty()) return;
  Contents contents = good;
  const auto replaced = std::next(contents.begin(), input[0] % static_cast<long>(contents.size()));
  const ByteView bytes = input.subspan(1);
  if (std::ranges::equal(replaced->second, bytes)) return;
  replaced->second.assign(bytes.begin(), bytes.end());
  Folder folder(std::make_unique<MapFiles>(contents), std::make_shared<OneKey>());
  if (folder.open(kName, {}, TimePoint::max()).ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool ready =
      memory::initialise({.force_locked = true}).ok() && keystore::warm_up().ok();
  if (!ready) std::abort();
  if (size == 0) return 0;
  const ByteView input(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      for (const BoxKind kind : {BoxKind::kSlot, BoxKind::kHead, BoxKind::kIndex, BoxKind::kKey}) {
        static_cast<void>(parse_box(input, kind));
      }
      break;
    case 1: static_cast<void>(parse_slots(input)); break;
    case 2: try_index(input); break;
    default: try_folder(input);
  }
  return 0;
}
