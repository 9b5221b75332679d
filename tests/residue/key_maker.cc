// SPDX-License-Identifier: Apache-2.0
//
// residue_key_maker FOLDER: writes one private key of each kind in PEM, with the system's OpenSSL.
#include <openssl/pem.h>

#include <algorithm>

#include "tests/keystore/make_key.h"
#include "tests/residue/kinds.h"

namespace {

bool write_key(const std::string& kind, const std::string& path) {
  const vhsm::ossl::PKey key = vhsm::tests::make_key(kind);
  const vhsm::ossl::Bio out(BIO_new_file(path.c_str(), "w"));
  return key != nullptr && out != nullptr &&
         PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  const auto kinds = vhsm::tests::residue_kinds();
  const bool made = std::ranges::all_of(
      kinds, [&](const auto& kind) { return write_key(kind, folder + "/" + kind + ".pem"); });
  return made ? 0 : 1;
}
