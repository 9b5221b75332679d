// SPDX-License-Identifier: Apache-2.0
//
// bench_sign [--rounds N] [--seconds S] [--keys RSA-2048,P-256,ML-DSA-65,...] [--alone] [--vhsmd]
//            [--pkcs11]
//
// Signatures a second with a vhsm key against the same key in the default provider: one process,
// many short rounds in turns, so that a noisy machine hits both alike, medians. Each signature is
// what a server does: a new context, one initialisation, one EVP_DigestSign. With --alone the file
// key is measured in a library context without vhsm, too, which shows what vhsm costs others; with
// --vhsmd the same key in a vhsmd; with --pkcs11 a key of the same type in the token that
// PKCS11_PROVIDER_MODULE and openssl.cnf name (scripts/bench.sh).
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/host.h"

namespace {

using namespace vhsm::bench;

struct Options {
  int rounds = 151;
  double seconds = 0.03;
  std::vector<std::string> keys{"RSA-2048", "P-256", "ED25519"};
  bool alone = false;
  bool vhsmd = false;
  bool pkcs11 = false;
};

/// A key, and the library context that its provider is loaded in (null: the default one).
struct Place {
  Key key{nullptr, EVP_PKEY_free};
  OSSL_LIB_CTX* ctx = nullptr;
};

/// The same key in two providers, and perhaps in a vhsmd; perhaps one of its type in a token.
struct Subject {
  std::string name;
  const char* digest;
  Place file{};
  Place held{};
  Place alone{};
  Place daemon{};
  Place token{};
};

bool sign(const Place& place, const char* digest) {
  unsigned char signature[5000];  // ML-DSA-87 signs with 4627
  std::size_t size = sizeof signature;
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  const bool good = EVP_DigestSignInit_ex(ctx, nullptr, digest, place.ctx, nullptr, place.key.get(),
                                          nullptr) == 1 &&
                    EVP_DigestSign(ctx, signature, &size, kMessage, sizeof kMessage) == 1;
  EVP_MD_CTX_free(ctx);
  return good;
}

double rate(const Place& place, const char* digest, double seconds) {
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(seconds);
  long count = 0;
  auto now = start;
  while (now < end) {
    for (int i = 0; i < 16; ++i, ++count) {
      if (!sign(place, digest)) stop("a signature failed");
    }
    now = Clock::now();
  }
  return static_cast<double>(count) / std::chrono::duration<double>(now - start).count();
}

Key open_uri(const std::string& uri, OSSL_LIB_CTX* ctx) {
  EVP_PKEY* key = nullptr;
  OSSL_STORE_CTX* store =
      OSSL_STORE_open_ex(uri.c_str(), ctx, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
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

/// In a library context of its own, which has the default provider alone.
Place put_apart(EVP_PKEY* key) {
  OSSL_LIB_CTX* const apart = OSSL_LIB_CTX_new();
  return {copy_to(apart, nullptr, key), apart};
}

/// A vhsmd that serves a folder with keys, and a library context whose vhsm uses it.
class Daemon {
 public:
  Daemon() {
    char name[] = "/tmp/vhsm-bench-XXXXXX";
    if (::mkdtemp(name) == nullptr) stop("no temporary folder");
    folder_ = name;
    std::filesystem::create_directories(folder_ + "/default/bench");
    const std::string socket = folder_ + "/vhsmd.sock";
    const std::string command = "exec " VHSM_FILES_VHSMD " " + socket + " " + folder_;
    char line[16];
    FILE* const output = ::popen(command.c_str(), "r");  // it ends with us
    if (output == nullptr || std::fgets(line, sizeof line, output) == nullptr) stop("no vhsmd");
    std::ofstream(folder_ + "/vhsm.cnf") << "[vhsm]\n";
    ::setenv("VHSM_CONF", (folder_ + "/vhsm.cnf").c_str(), 1);
    ::setenv("VHSM_TEST_SOCKET", socket.c_str(), 1);
    ctx_ = OSSL_LIB_CTX_new();
    OSSL_PROVIDER_set_default_search_path(ctx_, VHSM_LIB_DIR);
    if (OSSL_PROVIDER_load(ctx_, "default") == nullptr ||
        OSSL_PROVIDER_load(ctx_, "vhsm_files") == nullptr) {
      stop("the provider that uses a vhsmd does not load");
    }
  }
  ~Daemon() { std::filesystem::remove_all(folder_); }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  [[nodiscard]] Place hold(const std::string& name, EVP_PKEY* key) const {
    FILE* const file = std::fopen((folder_ + "/default/bench/" + name).c_str(), "w");
    if (file == nullptr ||
        PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
      stop("no key file for vhsmd");
    }
    std::fclose(file);
    Place place{open_uri("vhsm:default/bench/" + name, ctx_), ctx_};
    if (place.key == nullptr) stop("vhsmd does not take the key");
    return place;
  }

 private:
  std::string folder_;
  OSSL_LIB_CTX* ctx_ = nullptr;
};

/// Rates of one more place, in proportion to the file key's of the same round.
class Beside {
 public:
  explicit Beside(const char* label) : label_(label) {}
  void measure(const Place& place, const Subject& subject, double seconds, double file) {
    if (place.key != nullptr) ratios_.push_back(rate(place, subject.digest, seconds) / file);
  }
  void print() const {
    if (!ratios_.empty()) std::printf("   %s %.3f", label_, median(ratios_));
  }

 private:
  const char* label_;
  std::vector<double> ratios_;
};

void measure(const Subject& subject, const Options& options) {
  std::vector<double> file;
  std::vector<double> ratio;
  Beside alone("without vhsm");
  Beside daemon("vhsmd");
  Beside token("pkcs11-provider+SoftHSM");
  for (int round = 0; round < options.rounds; ++round) {
    // Interleaved, and in turns first, so that a busy neighbour hits both alike.
    const bool first = round % 2 == 0;
    const double a = rate(first ? subject.file : subject.held, subject.digest, options.seconds);
    const double b = rate(first ? subject.held : subject.file, subject.digest, options.seconds);
    file.push_back(first ? a : b);
    ratio.push_back(first ? b / a : a / b);
    alone.measure(subject.alone, subject, options.seconds, file.back());
    daemon.measure(subject.daemon, subject, options.seconds, file.back());
    token.measure(subject.token, subject, options.seconds, file.back());
  }
  std::printf("%-10s file %10.0f/s   vhsm %10.0f/s   ratio %.3f", subject.name.c_str(),
              median(file), median(file) * median(ratio), median(ratio));
  alone.print();
  daemon.print();
  token.print();
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
    } else if (name == "--alone") {
      options.alone = true;
    } else if (name == "--vhsmd") {
      options.vhsmd = true;
    } else if (name == "--rounds" && i++ < argc) {
      options.rounds = std::max(1, std::atoi(value));
    } else if (name == "--seconds" && i++ < argc) {
      options.seconds = std::atof(value);
    } else if (name == "--keys" && i++ < argc) {
      options.keys = split(value);
    } else {
      stop(
          "usage: bench_sign [--rounds N] [--seconds S] [--keys RSA-2048,P-256,...] [--alone] "
          "[--vhsmd] [--pkcs11]");
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
  std::optional<Daemon> daemon;
  if (options.vhsmd) daemon.emplace();
  for (const auto& name : options.keys) {
    Subject subject{name, name.starts_with("RSA") || name.starts_with("P-") ? "SHA256" : nullptr};
    subject.file.key = generate(name);
    if (subject.file.key == nullptr) stop("no such key type");
    subject.held.key = import_to_vhsm(subject.file.key.get());
    if (options.alone) subject.alone = put_apart(subject.file.key.get());
    if (daemon.has_value()) subject.daemon = daemon->hold(name, subject.file.key.get());
    if (options.pkcs11) {
      subject.token.key = open_uri("pkcs11:object=" + name + ";type=private", nullptr);
    }
    measure(subject, options);
  }
  return 0;
}
