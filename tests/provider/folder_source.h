// SPDX-License-Identifier: Apache-2.0
//
// A folder of key files in the place of a KBS.
#pragma once

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "keystore/key_source.h"

namespace vhsm::test {

class FolderSource final : public keystore::KeySource {
 public:
  FolderSource(std::string path, std::shared_ptr<Metrics> metrics)
      : path_(std::move(path)), metrics_(std::move(metrics)) {}

  Result<SecretBytes> fetch(const keystore::KeyName& name,
                            std::chrono::steady_clock::time_point /*deadline*/) override {
    metrics_->fetches.fetch_add(1);
    std::ifstream file(path_ + "/" + name.path(), std::ios::binary);
    if (!file) return fail(Errc::kMissing, "no such file", name.uri());
    std::ostringstream stored;
    stored << file.rdbuf();
    const std::string text = stored.str();
    return SecretBytes::copy(std::vector<std::uint8_t>(text.begin(), text.end()));
  }

 private:
  std::string path_;
  std::shared_ptr<Metrics> metrics_;
};

}  // namespace vhsm::test
