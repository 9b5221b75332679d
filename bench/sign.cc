// SPDX-License-Identifier: Apache-2.0
//
// bench_sign [--rounds N] [--seconds S] [--keys RSA-2048,P-256,...] [--pkcs11]
//
// Signatures a second with a vhsm key against the same key in the default provider: one process,
// many short rounds in turns, so that a noisy machine hits both alike, medians. Each signature is
// what a server does: a new context, one initialisation, one EVP_DigestSign. With --pkcs11 a key of
// the same type in the token that PKCS11_PROVIDER_MODULE and openssl.cnf name is measured beside
// them (scripts/bench.sh).
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Clock = std::chrono::steady_clock;

constexpr unsigned char kMessage[64] = "what a TLS 1.3 server signs is about as long as this";

struct Options {
  int rounds = 151;
  double seconds = 0.03;
  std::vector<std::string> keys{"RSA-2048", "P-256", "ED25519"};
  bool pkcs11 = false;
};

/// The same key in two providers, and perhaps one of its type in a token.
struct Subject {
  std::string name;
  const char* digest;
  Key file{nullptr, EVP_PKEY_free};
  Key held{nullptr, EVP_PKEY_free};
  Key token{nullptr, EVP_PKEY_free};
};

[[noreturn]] void stop(const char* what) {
  std::fprintf(stderr, "bench_sign: %s\n", what);
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

bool sign(EVP_PKEY* key, const char* digest) {
  unsigned char signature[1024];
  std::size_t size = sizeof signature;
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  const bool good =
      EVP_DigestSignInit_ex(ctx, nullptr, digest, nullptr, nullptr, key, nullptr) == 1 &&
      EVP_DigestSign(ctx, signature, &size, kMessage, sizeof kMessage) == 1;
  EVP_MD_CTX_free(ctx);
  return good;
}

double rate(EVP_PKEY* key, const char* digest, double seconds) {
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(seconds);
  long count = 0;
  auto now = start;
  while (now < end) {
    for (int i = 0; i < 16; ++i, ++count) {
      if (!sign(key, digest)) stop("a signature failed");
    }
    now = Clock::now();
  }
  return static_cast<double>(count) / std::chrono::duration<double>(now - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Key generate(const std::string& name) {
  constexpr const char* kDefault = "provider=default";
  if (name.starts_with("RSA-")) {
    const auto bits = std::size_t{std::stoul(name.substr(4))};
    return {EVP_PKEY_Q_keygen(nullptr, kDefault, "RSA", bits), EVP_PKEY_free};
  }
  if (name.starts_with("P-")) {
    return {EVP_PKEY_Q_keygen(nullptr, kDefault, "EC", name.c_str()), EVP_PKEY_free};
  }
  return {EVP_PKEY_Q_keygen(nullptr, kDefault, name.c_str()), EVP_PKEY_free};
}

Key import_to_vhsm(EVP_PKEY* key) {
  OSSL_PARAM* params = nullptr;
  EVP_PKEY* held = nullptr;
  EVP_PKEY_CTX* ctx =
      EVP_PKEY_CTX_new_from_name(nullptr, EVP_PKEY_get0_type_name(key), "provider=vhsm");
  if (ctx == nullptr || EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params) != 1 ||
      EVP_PKEY_fromdata_init(ctx) != 1 ||
      EVP_PKEY_fromdata(ctx, &held, EVP_PKEY_KEYPAIR, params) != 1) {
    stop("vhsm does not take the key");
  }
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_free(params);
  return {held, EVP_PKEY_free};
}

/// The token's private key labelled as `name`.
Key find_in_token(const std::string& name) {
  const std::string uri = "pkcs11:object=" + name + ";type=private";
  EVP_PKEY* key = nullptr;
  OSSL_STORE_CTX* store = OSSL_STORE_open(uri.c_str(), nullptr, nullptr, nullptr, nullptr);
  while (store != nullptr && key == nullptr && OSSL_STORE_eof(store) == 0) {
    OSSL_STORE_INFO* info = OSSL_STORE_load(store);
    if (info == nullptr) break;
    key = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
  }
  OSSL_STORE_close(store);
  ERR_clear_error();
  return {key, EVP_PKEY_free};
}

void measure(const Subject& subject, const Options& options) {
  std::vector<double> file;
  std::vector<double> ratio;
  std::vector<double> token_ratio;
  for (int round = 0; round < options.rounds; ++round) {
    // Interleaved, and in turns first, so that a busy neighbour hits both alike.
    const bool first = round % 2 == 0;
    const double a =
        rate((first ? subject.file : subject.held).get(), subject.digest, options.seconds);
    const double b =
        rate((first ? subject.held : subject.file).get(), subject.digest, options.seconds);
    file.push_back(first ? a : b);
    ratio.push_back(first ? b / a : a / b);
    if (subject.token != nullptr) {
      token_ratio.push_back(rate(subject.token.get(), subject.digest, options.seconds) /
                            file.back());
    }
  }
  std::printf("%-10s file %10.0f/s   vhsm %10.0f/s   ratio %.3f", subject.name.c_str(),
              median(file), median(file) * median(ratio), median(ratio));
  if (!token_ratio.empty()) std::printf("   pkcs11-provider+SoftHSM %.3f", median(token_ratio));
  std::printf("\n");
  std::fflush(stdout);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name(argv[i]);
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--pkcs11") {
      options.pkcs11 = true;
    } else if (name == "--rounds" && i++ < argc) {
      options.rounds = std::max(1, std::atoi(value));
    } else if (name == "--seconds" && i++ < argc) {
      options.seconds = std::atof(value);
    } else if (name == "--keys" && i++ < argc) {
      options.keys = split(value);
    } else {
      stop("usage: bench_sign [--rounds N] [--seconds S] [--keys RSA-2048,P-256,...] [--pkcs11]");
    }
  }
  return options;
}

void load_providers(bool pkcs11) {
  char path[] = "/tmp/vhsm-bench-XXXXXX";
  const int file = ::mkstemp(path);
  constexpr std::string_view kSettings = "[vhsm]\nimport_private = yes\n";
  if (file < 0 || ::write(file, kSettings.data(), kSettings.size()) < 0) stop("no temporary file");
  ::close(file);
  ::setenv("VHSM_CONF", path, 1);
  OSSL_PROVIDER_load(nullptr, "default");
  if (pkcs11 && OSSL_PROVIDER_load(nullptr, "pkcs11") == nullptr) stop("no pkcs11 provider");
  OSSL_PROVIDER_set_default_search_path(nullptr, VHSM_LIB_DIR);
  const bool loaded = OSSL_PROVIDER_load(nullptr, "vhsm") != nullptr;
  ::unlink(path);
  if (!loaded) stop("the vhsm provider does not load");
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  load_providers(options.pkcs11);
  std::printf("%s; median of %d rounds of %.2f s\n", OpenSSL_version(OPENSSL_VERSION),
              options.rounds, options.seconds);
  for (const auto& name : options.keys) {
    Subject subject{name, name.starts_with("ED") ? nullptr : "SHA256", generate(name)};
    if (subject.file == nullptr) stop("no such key type");
    subject.held = import_to_vhsm(subject.file.get());
    if (options.pkcs11) subject.token = find_in_token(name);
    measure(subject, options);
  }
  return 0;
}
