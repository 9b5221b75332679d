// SPDX-License-Identifier: Apache-2.0
//
// What a program does with symmetric keys, the same through vhsm and through the default provider:
// by a key's URI there, by its bytes here.
#pragma once

#include <openssl/core.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tests/provider/host.h"
#include "tests/provider/key_folder.h"

namespace vhsm::test {

inline constexpr const char* kSymmetric = "vhsm.symmetric=yes";

using MacCtx = ossl::Handle<EVP_MAC_CTX, EVP_MAC_CTX_free>;

Bytes from_hex(const std::string& hex);
Bytes from_text(const std::string& text);
/// Not random: the same in each run.
Bytes pattern(std::size_t size, unsigned seed);
/// Base64url without padding.
std::string base64url(const Bytes& bytes);

/// An OSSL_PARAM array that owns what it points to.
class Params {
 public:
  Params& text(const char* name, const std::string& value);
  Params& octets(const char* name, const Bytes& value);
  Params& number(const char* name, std::size_t value);
  [[nodiscard]] std::vector<OSSL_PARAM> array() const;

 private:
  struct Item {
    const char* name;
    unsigned type;
    Bytes value;
    std::size_t size;
  };
  Params& add(const char* name, unsigned type, Bytes value, std::size_t size);
  std::vector<Item> items_;
};

/// A key as each provider is told of it: by its name, or by its bytes.
struct Secret {
  std::string uri;
  Bytes bytes;
};

/// Puts `content` where vhsm_files finds it; `bytes` is the key in it.
Secret store_secret(const KeyFolder& folder, const std::string& name, const Bytes& content,
                    const Bytes& bytes);
inline Secret store_secret(const KeyFolder& folder, const std::string& name, const Bytes& bytes) {
  return store_secret(folder, name, bytes, bytes);
}

/// How the key is told: by its name to vhsm, or by its bytes to the default provider.
enum class By : std::uint8_t { kName, kBytes };

struct MacTask {
  std::string algorithm;  ///< OpenSSL's name
  Params params{};
  std::size_t step = 0;  ///< bytes at once; 0: all
};

/// Null, with the reason on the queue, when it does not start.
MacCtx begin_mac(const Host& host, By by, const Secret& secret, const MacTask& task);
/// Empty on failure.
Bytes mac(const Host& host, By by, const Secret& secret, const MacTask& task, const Bytes& message);

struct CipherTask {
  std::string algorithm;
  Bytes iv{};
  Bytes aad{};
  std::size_t step = 0;
  bool padding = true;
  bool in_place = false;
};

struct Sealed {
  Bytes text;
  Bytes tag;  ///< of GCM
};

ossl::CipherCtx begin_cipher(const Host& host, By by, const Secret& secret, const CipherTask& task,
                             bool encrypts);
std::optional<Sealed> encrypt(const Host& host, By by, const Secret& secret, const CipherTask& task,
                              const Bytes& clear);
std::optional<Bytes> decrypt(const Host& host, By by, const Secret& secret, const CipherTask& task,
                             const Sealed& sealed);

/// Empty on failure.
Bytes derive(const Host& host, By by, const Secret& secret, const std::string& algorithm,
             const Params& params, std::size_t size);

/// What the openssl command prints, with our module loaded.
std::string openssl(const std::string& arguments);

}  // namespace vhsm::test
