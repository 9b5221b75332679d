// SPDX-License-Identifier: Apache-2.0
#include "cli/host_openssl.h"

#include <dlfcn.h>

#include <openssl/crypto.h>
#include <openssl/opensslv.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "cli/console.h"

namespace vhsm::cli {
namespace {

struct CloseLibrary {
  void operator()(void* library) const noexcept { static_cast<void>(dlclose(library)); }
};
using Library = std::unique_ptr<void, CloseLibrary>;

/// A function of `library`; dlsym() knows no types.
template <class Function>
Function* symbol(const Library& library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library.get(), name));
}

/// `OPENSSLDIR: "..."` and the like, as OpenSSL_version() words them.
std::string between_quotes(std::string_view text) {
  const std::size_t first = text.find('"');
  const std::size_t last = text.rfind('"');
  if (first == std::string_view::npos || last == first) return {};
  return std::string(text.substr(first + 1, last - first - 1));
}

std::optional<HostOpenssl> read_version(const Library& library) {
  auto* const text = symbol<decltype(OpenSSL_version)>(library, "OpenSSL_version");
  auto* const major = symbol<decltype(OPENSSL_version_major)>(library, "OPENSSL_version_major");
  auto* const minor = symbol<decltype(OPENSSL_version_minor)>(library, "OPENSSL_version_minor");
  auto* const patch = symbol<decltype(OPENSSL_version_patch)>(library, "OPENSSL_version_patch");
  if (text == nullptr || major == nullptr || minor == nullptr || patch == nullptr) return {};
  return HostOpenssl{{major(), minor(), patch(), printable(text(OPENSSL_VERSION))},
                     printable(between_quotes(text(OPENSSL_MODULES_DIR)))};
}

}  // namespace

OpensslVersion inner_openssl() {
  return {OPENSSL_version_major(), OPENSSL_version_minor(), OPENSSL_version_patch(),
          OpenSSL_version(OPENSSL_VERSION)};
}

std::optional<HostOpenssl> host_openssl() {
  for (const char* name : {"libcrypto.so.4", "libcrypto.so.3"}) {
    const Library library(dlopen(name, RTLD_NOW | RTLD_LOCAL));
    if (library != nullptr) return read_version(library);
  }
  return std::nullopt;
}

}  // namespace vhsm::cli
