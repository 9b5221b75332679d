// SPDX-License-Identifier: Apache-2.0
#include "keystore/fips.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "base/descriptor.h"
#include "base/handle.h"
#include "memory/generators.h"

namespace vhsm::keystore {
namespace {

enum class Choice : std::uint8_t { kNone, kDefault, kFips };

constinit std::atomic<Choice> g_choice{Choice::kNone};

#if OPENSSL_VERSION_NUMBER >= 0x30500000L

constexpr const char* kSection = "fips_sect";  // as openssl-fipsinstall(1) calls it
constexpr unsigned kStrengthBits = 256;

// ----- random numbers ---------------------------------------------------------------------------

/// The loaded module and its function for random numbers; it stays for the process's life.
struct Module {
  const OSSL_PROVIDER* provider = nullptr;
  OSSL_FUNC_provider_random_bytes_fn* random_bytes = nullptr;
};
constinit Module g_module{};

Status draw_from(int generator, std::span<std::uint8_t> out) {
  return crypto(g_module.random_bytes(OSSL_PROVIDER_get0_provider_ctx(g_module.provider), generator,
                                      out.data(), out.size(), kStrengthBits),
                "the FIPS provider gives no random numbers");
}

Status draw(std::span<std::uint8_t> out) { return draw_from(OSSL_PROV_RANDOM_PRIVATE, out); }

/// Drawing makes the primary generator too, with the process's first ones.
Status start_of_thread() {
  std::array<std::uint8_t, 1> byte{};
  VHSM_TRY(draw_from(OSSL_PROV_RANDOM_PRIVATE, byte));
  return draw_from(OSSL_PROV_RANDOM_PUBLIC, byte);
}

Status take_generators(const OSSL_PROVIDER* provider) {
  const OSSL_DISPATCH* entry = OSSL_PROVIDER_get0_dispatch(provider);
  while (entry->function_id != 0 && entry->function_id != OSSL_FUNC_PROVIDER_RANDOM_BYTES) ++entry;
  if (entry->function_id == 0) {
    return fail(Errc::kUnsupported, "fips = yes needs a FIPS provider of OpenSSL 3.5 or newer");
  }
  g_module = {provider, OSSL_FUNC_provider_random_bytes(entry)};
  memory::use_generators({draw, start_of_thread});
  return {};
}

// ----- the module's configuration ---------------------------------------------------------------

/// Debian keeps openssl.cnf in /etc/ssl, and a link to it where OpenSSL looks.
std::string find_config(const Settings& settings) {
  if (!settings.fips_config.empty()) return settings.fips_config;
  const std::string own = std::string(OPENSSL_info(OPENSSL_INFO_CONFIG_DIR)) + "/fipsmodule.cnf";
  return ::access(own.c_str(), F_OK) == 0 ? own : "/etc/ssl/fipsmodule.cnf";
}

Result<ossl::Conf> read_config(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) {
    return fail(Errc::kIo, "fips = yes: make this file first, with openssl fipsinstall", path);
  }
  ossl::Conf conf = VHSM_TRY(made(ossl::Conf(NCONF_new(nullptr)), "no configuration object"));
  if (NCONF_load(conf.get(), path.c_str(), nullptr) == 1) return conf;
  return fail(Errc::kBadConfig, "the FIPS provider's configuration cannot be read", path);
}

/// What `conf` says of the module, as the parameters that it starts with.
Result<std::vector<OSSL_PARAM>> module_params(const CONF* conf, const std::string& path) {
  const STACK_OF(CONF_VALUE)* values = NCONF_get_section(conf, kSection);
  if (values == nullptr) return fail(Errc::kBadConfig, "no section [fips_sect] in this file", path);
  std::vector<OSSL_PARAM> params;
  for (int i = 0; i < sk_CONF_VALUE_num(values); ++i) {
    const CONF_VALUE* value = sk_CONF_VALUE_value(values, i);
    params.push_back(OSSL_PARAM_construct_utf8_string(value->name, value->value, 0));
  }
  params.push_back(OSSL_PARAM_construct_end());
  return params;
}

// ----- the module -------------------------------------------------------------------------------

/// A copy of the module's file, without a name. The module serves one libcrypto for each time that
/// it is mapped, and a host that uses FIPS itself has mapped the file.
Result<Descriptor> copy_module(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return fail(Errc::kIo, "fips = yes: there is no FIPS provider (openssl-provider-fips)", path);
  }
  Descriptor copy(::memfd_create("vhsm-fips", MFD_CLOEXEC));
  ssize_t sent = 1;
  while (sent > 0) sent = ::sendfile(copy.get(), file.get(), nullptr, std::size_t{1} << 20);
  if (copy.valid() && sent == 0) return copy;
  return fail(Errc::kIo, "the FIPS provider cannot be copied", path);
}

std::string last_reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  return reason == nullptr ? "" : std::string(": ") + reason;
}

Result<OSSL_PROVIDER*> load_module(const Settings& settings) {
  const std::string config = find_config(settings);
  const ossl::Conf conf = VHSM_TRY(read_config(config));
  auto params = VHSM_TRY(module_params(conf.get(), config));
  // Not from $OPENSSL_MODULES: that is the host's.
  const std::string path = std::string(OPENSSL_info(OPENSSL_INFO_MODULES_DIR)) + "/fips.so";
  Descriptor copy = VHSM_TRY(copy_module(path));
  // Not /proc/self: a debugger opens the file by this name, too.
  const std::string name =
      "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(copy.get());
  OSSL_PROVIDER* provider = OSSL_PROVIDER_load_ex(nullptr, name.c_str(), params.data());
  if (provider == nullptr) {
    return fail(Errc::kCrypto, "the FIPS provider does not start", config + last_reason());
  }
  // It stays open: the dynamic linker knows files by their names, and would take another private
  // OpenSSL's copy (there can be one in a process) with the same number for this one.
  static_cast<void>(copy.release());
  return provider;
}

Status load_fips(const Settings& settings) {
  const ossl::ErrorMark quiet;
  const OSSL_PROVIDER* module = VHSM_TRY(load_module(settings));
  VHSM_TRY(made(OSSL_PROVIDER_load(nullptr, "base"), "no base provider"));
  VHSM_TRY(crypto(EVP_default_properties_enable_fips(nullptr, 1), "no default properties"));
  if (OSSL_PROVIDER_available(nullptr, "default") == 1) {
    return fail(Errc::kWrongState, "the private OpenSSL has worked without its FIPS provider");
  }
  return take_generators(module);
}

std::string describe_module() {
  const char* name = "FIPS provider";
  const char* version = "";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_NAME, const_cast<char**>(&name), 0),
      OSSL_PARAM_construct_utf8_ptr(OSSL_PROV_PARAM_VERSION, const_cast<char**>(&version), 0),
      OSSL_PARAM_construct_end()};
  static_cast<void>(OSSL_PROVIDER_get_params(g_module.provider, params));
  return std::string(name) + " " + version;
}

#else

Status load_fips(const Settings& /*settings*/) {
  return fail(Errc::kUnsupported,
              "fips = yes needs a vhsm that was built with OpenSSL 3.5 or newer",
              OpenSSL_version(OPENSSL_VERSION));
}

std::string describe_module() { return {}; }

#endif

}  // namespace

Status choose_providers(const Settings& settings) {
  static constinit std::mutex mutex;
  const std::lock_guard lock(mutex);
  const Choice wanted = settings.fips ? Choice::kFips : Choice::kDefault;
  const Choice chosen = g_choice.load(std::memory_order_relaxed);
  if (chosen == wanted) return {};
  if (chosen != Choice::kNone) {
    return fail(Errc::kWrongState, "this process has begun with another value of it", "fips");
  }
  if (settings.fips) VHSM_TRY(load_fips(settings));
  g_choice.store(wanted, std::memory_order_release);
  return {};
}

bool fips_is_on() noexcept { return g_choice.load(std::memory_order_acquire) == Choice::kFips; }

std::string describe_openssl() {
  const std::string library = OpenSSL_version(OPENSSL_VERSION);
  return fips_is_on() ? library + ", " + describe_module() : library;
}

}  // namespace vhsm::keystore
