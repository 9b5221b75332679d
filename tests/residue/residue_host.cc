// SPDX-License-Identifier: Apache-2.0
//
// residue_host: a host program that does with a key what it is told, so that another program can
// look at its memory in between. Reads commands line by line from standard input and answers each
// with a line: "ok" and what there is to say, or "failed".
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/handle.h"
#include "keystore/key_type.h"

namespace {

using Key = vhsm::ossl::PKey;
using Bytes = std::vector<unsigned char>;

/// Everything that vhsm can give up: dies with the command "unload".
struct Host {
  vhsm::ossl::LibCtx ctx{OSSL_LIB_CTX_new()};
  OSSL_PROVIDER* vhsm = nullptr;
  OSSL_PROVIDER* standard = nullptr;
  Key key;
};

Key load(OSSL_LIB_CTX* ctx, const char* uri) {
  Key key;
  OSSL_STORE_CTX* store =
      OSSL_STORE_open_ex(uri, ctx, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  while (store != nullptr && key == nullptr && OSSL_STORE_eof(store) == 0) {
    OSSL_STORE_INFO* info = OSSL_STORE_load(store);
    if (info == nullptr) break;
    if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
      key.reset(OSSL_STORE_INFO_get1_PKEY(info));
    }
    OSSL_STORE_INFO_free(info);
  }
  OSSL_STORE_close(store);
  return key;
}

constexpr std::array<unsigned char, 42> kMessage{"a message of some length for a signature"};

/// @return the signature; empty: it failed.
Bytes sign(OSSL_LIB_CTX* ctx, EVP_PKEY* key, const char* digest, bool pss) {
  const vhsm::ossl::MdCtx signing(EVP_MD_CTX_new());
  EVP_PKEY_CTX* inner = nullptr;
  Bytes signature(50'000);  // SLH-DSA-256f signs with 49 856
  std::size_t size = signature.size();
  const bool good =
      EVP_DigestSignInit_ex(signing.get(), &inner, digest, ctx, nullptr, key, nullptr) == 1 &&
      (!pss || EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING) == 1) &&
      EVP_DigestSign(signing.get(), signature.data(), &size, kMessage.data(), kMessage.size()) == 1;
  signature.resize(good ? size : 0);
  return signature;
}

using KeyCtx = vhsm::ossl::PKeyCtx;

bool decrypt(OSSL_LIB_CTX* ctx, EVP_PKEY* key) {
  Bytes ciphertext(1024);
  Bytes plaintext(1024);
  std::size_t size = ciphertext.size();
  const KeyCtx in(EVP_PKEY_CTX_new_from_pkey(ctx, key, nullptr));
  if (EVP_PKEY_encrypt_init(in.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(in.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_encrypt(in.get(), ciphertext.data(), &size, kMessage.data(), 16) != 1) {
    return false;
  }
  const KeyCtx out(EVP_PKEY_CTX_new_from_pkey(ctx, key, nullptr));
  std::size_t plain_size = plaintext.size();
  return EVP_PKEY_decrypt_init(out.get()) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(out.get(), RSA_PKCS1_OAEP_PADDING) == 1 &&
         EVP_PKEY_decrypt(out.get(), plaintext.data(), &plain_size, ciphertext.data(), size) == 1 &&
         std::memcmp(plaintext.data(), kMessage.data(), 16) == 0;
}

bool derive(OSSL_LIB_CTX* ctx, EVP_PKEY* key) {
  const KeyCtx deriving(EVP_PKEY_CTX_new_from_pkey(ctx, key, nullptr));
  Bytes shared(128);
  std::size_t size = shared.size();
  return EVP_PKEY_derive_init(deriving.get()) == 1 &&
         EVP_PKEY_derive_set_peer(deriving.get(), key) == 1 &&
         EVP_PKEY_derive(deriving.get(), shared.data(), &size) == 1;
}

bool decapsulate(OSSL_LIB_CTX* ctx, EVP_PKEY* key) {
  Bytes wrapped(2048);
  Bytes secret(64);
  Bytes opened(64);
  std::size_t wrapped_size = wrapped.size();
  std::size_t size = secret.size();
  std::size_t opened_size = opened.size();
  const KeyCtx in(EVP_PKEY_CTX_new_from_pkey(ctx, key, nullptr));
  const KeyCtx out(EVP_PKEY_CTX_new_from_pkey(ctx, key, nullptr));
  return EVP_PKEY_encapsulate_init(in.get(), nullptr) == 1 &&
         EVP_PKEY_encapsulate(in.get(), wrapped.data(), &wrapped_size, secret.data(), &size) == 1 &&
         EVP_PKEY_decapsulate_init(out.get(), nullptr) == 1 &&
         EVP_PKEY_decapsulate(out.get(), opened.data(), &opened_size, wrapped.data(),
                              wrapped_size) == 1 &&
         opened == secret;
}

using vhsm::keystore::KeyType;
using vhsm::keystore::Signing;

const KeyType& type_of(EVP_PKEY* key) {
  const auto is_it = [key](const KeyType& type) { return EVP_PKEY_is_a(key, type.name) == 1; };
  return *std::ranges::find_if(vhsm::keystore::kTypeTable, is_it);
}

bool signs(EVP_PKEY* key) { return type_of(key).signature.exist(); }

Bytes sign(OSSL_LIB_CTX* ctx, EVP_PKEY* key) {
  return sign(ctx, key, type_of(key).signing == Signing::kDigest ? "SHA256" : nullptr, false);
}

/// All that its type can do.
bool use(OSSL_LIB_CTX* ctx, EVP_PKEY* key) {
  const KeyType& type = type_of(key);
  if (signs(key) && sign(ctx, key).empty()) return false;
  if (type.cipher.exist() && (sign(ctx, key, "SHA384", true).empty() || !decrypt(ctx, key))) {
    return false;
  }
  if (type.exchange.exist() && !derive(ctx, key)) return false;
  return type.family != vhsm::keystore::Family::kMlKem || decapsulate(ctx, key);
}

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr std::size_t kThreads = 3;

/// Threads that use the key all the time, and a signal handler on stacks of its own that interrupts
/// them at any place: what they have in registers then lies on those stacks.
class Load {
 public:
  Load(OSSL_LIB_CTX* ctx, EVP_PKEY* key)
      : stacks_(static_cast<char*>(::mmap(nullptr, kStackBytes * kThreads, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    ::sigaction(SIGUSR1, &action, nullptr);
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this, i, ctx, key] { work(stacks_ + i * kStackBytes, ctx, key); });
    }
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() { static_cast<void>(stop()); }

  void disturb(std::chrono::milliseconds how_long) {
    const auto end = std::chrono::steady_clock::now() + how_long;
    while (std::chrono::steady_clock::now() < end) {
      for (auto& thread : threads_) ::pthread_kill(thread.native_handle(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  /// @return whether all went well.
  bool stop() {
    stopped_ = true;
    for (auto& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
    return !failed_;
  }

  [[nodiscard]] std::string stacks() const {
    std::array<char, 64> text{};
    const auto from = reinterpret_cast<std::uintptr_t>(stacks_);
    std::snprintf(text.data(), text.size(), "%lx-%lx", from, from + kStackBytes * kThreads);
    return text.data();
  }

 private:
  void work(char* stack, OSSL_LIB_CTX* ctx, EVP_PKEY* key) {
    stack_t own{};
    own.ss_sp = stack;
    own.ss_size = kStackBytes;
    ::sigaltstack(&own, nullptr);
    do {
      const Key copy(EVP_PKEY_dup(key));
      if (copy == nullptr || !use(ctx, copy.get()) || !use(ctx, key)) failed_ = true;
    } while (!stopped_ && !failed_);
  }

  char* stacks_;  // stays mapped: what the handlers left is what is looked for
  std::atomic<bool> stopped_{false};
  std::atomic<bool> failed_{false};
  std::vector<std::thread> threads_;
};

std::unique_ptr<Load> load_of_work;

bool write_file(const std::string& path, const unsigned char* bytes, std::size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  return file.good();
}

/// FILE FILE: leaves a signature, and what it is of.
bool sign_to_files(Host& host, std::istream& arguments) {
  std::string to, message;
  arguments >> to >> message;
  const Bytes signature = sign(host.ctx.get(), host.key.get());
  return !signature.empty() && write_file(to, signature.data(), signature.size()) &&
         write_file(message, kMessage.data(), kMessage.size());
}

bool load_key(Host& host, std::istream& arguments) {
  std::string uri;
  arguments >> uri;
  if (uri.starts_with("vhsm:")) host.vhsm = OSSL_PROVIDER_load(host.ctx.get(), "vhsm");
  host.standard = OSSL_PROVIDER_load(host.ctx.get(), "default");
  host.key = load(host.ctx.get(), uri.c_str());
  return host.key != nullptr;
}

/// A child uses the key, leaves a signature and stays; the answer has its process id.
bool fork_child(Host& host, std::istream& arguments, std::ostream& answer) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
  const pid_t child = ::fork();
  if (child == 0) {
    const bool good = use(host.ctx.get(), host.key.get()) &&
                      (!signs(host.key.get()) || sign_to_files(host, arguments));
    const char result = good ? 1 : 0;
    static_cast<void>(!::write(ends[1], &result, 1));
    while (true) ::pause();
  }
  char result = 0;
  const bool told = ::read(ends[0], &result, 1) == 1;
  ::close(ends[0]);
  ::close(ends[1]);
  answer << " " << child;
  return told && result == 1;
}

bool end_child(std::istream& arguments) {
  pid_t child = 0;
  arguments >> child;
  return child > 0 && ::kill(child, SIGKILL) == 0 && ::waitpid(child, nullptr, 0) == child;
}

/// Holds the bytes of a file in ordinary memory, and nothing else that tells of them.
bool hold(std::istream& arguments) {
  std::string path;
  arguments >> path;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  constexpr std::size_t kRoom = 65536;
  static std::array<unsigned char*, 64> held{};
  static std::size_t count = 0;
  held[count] = static_cast<unsigned char*>(std::malloc(kRoom));
  const ssize_t size = ::read(file, held[count++], kRoom);
  ::close(file);
  return size > 0;
}

/// The private parts in a file as OSSL_PARAM takes them, without a copy: for each a type
/// ('u'nsigned, 's'tring, 'o'ctets), a name, a NUL, the size in two bytes, the data,
/// and a NUL.
class Parts {
 public:
  explicit Parts(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const ssize_t size = ::read(file, buffer_.data(), buffer_.size());
    ::close(file);
    auto* at = buffer_.data();
    auto* const end = at + size;
    while (at < end) at = add(at);
    params_.push_back(OSSL_PARAM_construct_end());
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() { OPENSSL_cleanse(buffer_.data(), buffer_.size()); }
  OSSL_PARAM* params() { return params_.data(); }

 private:
  unsigned char* add(unsigned char* at) {
    const char* const name = reinterpret_cast<const char*>(at + 1);
    unsigned char* const size_at = at + 1 + std::strlen(name) + 1;
    const std::size_t size = size_at[0] + std::size_t{size_at[1]} * 256;
    unsigned char* const data = size_at + 2;
    params_.push_back(param(static_cast<char>(*at), name, data, size));
    return data + size + 1;
  }

  static OSSL_PARAM param(char type, const char* name, unsigned char* data, std::size_t size) {
    if (type == 'u') return OSSL_PARAM_construct_BN(name, data, size);
    if (type == 'o') return OSSL_PARAM_construct_octet_string(name, data, size);
    return OSSL_PARAM_construct_utf8_string(name, reinterpret_cast<char*>(data), size);
  }

  std::array<unsigned char, 16384> buffer_{};
  std::vector<OSSL_PARAM> params_;
};

/// Answers why OpenSSL's last call failed, from the innermost reason on.
void explain(std::ostream& answer) {
  const char* data = nullptr;
  int flags = 0;
  while (const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
    const char* const reason = ERR_reason_error_string(code);
    answer << " " << (reason == nullptr ? "" : reason) << " " << data << ";";
  }
}

/// TYPE FILE: gives vhsm private parts, and expects a refusal.
bool refuse_parts(Host& host, std::istream& arguments, std::ostream& answer) {
  std::string type, path;
  arguments >> type >> path;
  Parts parts(path);
  Key key;
  const KeyCtx ctx(EVP_PKEY_CTX_new_from_name(host.ctx.get(), type.c_str(), "provider=vhsm"));
  const bool refused =
      EVP_PKEY_fromdata_init(ctx.get()) == 1 &&
      EVP_PKEY_fromdata(ctx.get(), vhsm::ossl::Receive(key), EVP_PKEY_KEYPAIR, parts.params()) != 1;
  explain(answer);
  return refused;
}

/// URI: expects that it cannot be loaded.
bool refuse(Host& host, std::istream& arguments, std::ostream& answer) {
  std::string uri;
  arguments >> uri;
  if (host.vhsm == nullptr) host.vhsm = OSSL_PROVIDER_load(host.ctx.get(), "vhsm");
  const bool refused = host.vhsm != nullptr && load(host.ctx.get(), uri.c_str()) == nullptr;
  explain(answer);
  return refused;
}

using Mac = vhsm::ossl::Mac;
using MacCtx = vhsm::ossl::Handle<EVP_MAC_CTX, EVP_MAC_CTX_free>;
using Cipher = vhsm::ossl::Cipher;
using CipherCtx = vhsm::ossl::CipherCtx;

/// Operations with a symmetric key that are under way.
struct SecretWork {
  MacCtx mac;
  CipherCtx seal;
  CipherCtx open;
};
SecretWork secret_work;

/// How a symmetric key is told: to vhsm by its name, or to OpenSSL's own provider by its bytes.
struct Secret {
  explicit Secret(const std::string& where) : named(where.starts_with("vhsm:")), uri(where) {
    if (named) return;
    const int file = ::open(where.c_str(), O_RDONLY | O_CLOEXEC);
    const ssize_t size = ::read(file, bytes.data(), bytes.size());
    ::close(file);
    if (size != static_cast<ssize_t>(bytes.size())) bytes.fill(0);
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

  [[nodiscard]] std::string algorithm(const char* name) const {
    return (named ? "VHSM-" : "") + std::string(name);
  }
  [[nodiscard]] const unsigned char* clear() const { return named ? nullptr : bytes.data(); }
  /// `more`, and the name.
  [[nodiscard]] std::vector<OSSL_PARAM> params(std::vector<OSSL_PARAM> more = {}) {
    if (named) more.push_back(OSSL_PARAM_construct_utf8_string("vhsm-uri", uri.data(), 0));
    more.push_back(OSSL_PARAM_construct_end());
    return more;
  }

  bool named;
  std::string uri;
  std::array<unsigned char, 32> bytes{};
};

bool begin_mac(Host& host, Secret& secret) {
  const Mac mac(EVP_MAC_fetch(host.ctx.get(), secret.algorithm("HMAC").c_str(), nullptr));
  secret_work.mac.reset(EVP_MAC_CTX_new(mac.get()));
  char digest[] = "SHA256";
  const auto params = secret.params({OSSL_PARAM_construct_utf8_string("digest", digest, 0)});
  return EVP_MAC_init(secret_work.mac.get(), secret.clear(), secret.clear() != nullptr ? 32 : 0,
                      params.data()) == 1 &&
         EVP_MAC_update(secret_work.mac.get(), kMessage.data(), kMessage.size()) == 1;
}

bool begin_cipher(Host& host, Secret& secret, const char* name, bool encrypts, CipherCtx& ctx) {
  const Cipher cipher(EVP_CIPHER_fetch(host.ctx.get(), secret.algorithm(name).c_str(), nullptr));
  ctx.reset(EVP_CIPHER_CTX_new());
  const std::array<unsigned char, 16> iv{1, 2, 3};
  std::array<unsigned char, 64> out{};
  int size = 0;
  return EVP_CipherInit_ex2(ctx.get(), cipher.get(), secret.clear(), iv.data(), encrypts ? 1 : 0,
                            secret.params().data()) == 1 &&
         EVP_CipherUpdate(ctx.get(), out.data(), &size, kMessage.data(), 32) == 1;
}

bool derive_from(Host& host, Secret& secret) {
  const vhsm::ossl::Kdf kdf(
      EVP_KDF_fetch(host.ctx.get(), secret.algorithm("HKDF").c_str(), nullptr));
  const vhsm::ossl::KdfCtx ctx(EVP_KDF_CTX_new(kdf.get()));
  char digest[] = "SHA256";
  std::vector<OSSL_PARAM> more{OSSL_PARAM_construct_utf8_string("digest", digest, 0)};
  if (!secret.named) {
    more.push_back(OSSL_PARAM_construct_octet_string("key", secret.bytes.data(), 32));
  }
  std::array<unsigned char, 32> out{};
  return EVP_KDF_derive(ctx.get(), out.data(), out.size(), secret.params(more).data()) == 1;
}

/// URI or file: begins a MAC, an encryption and a decryption, which stay under way.
bool begin_secret_work(Host& host, std::istream& arguments) {
  std::string where;
  arguments >> where;
  Secret secret(where);
  auto& provider = secret.named ? host.vhsm : host.standard;
  if (provider == nullptr) {
    provider = OSSL_PROVIDER_load(host.ctx.get(), secret.named ? "vhsm" : "default");
  }
  return provider != nullptr && begin_mac(host, secret) &&
         begin_cipher(host, secret, "AES-256-GCM", true, secret_work.seal) &&
         begin_cipher(host, secret, "AES-256-CBC", false, secret_work.open) &&
         derive_from(host, secret);
}

bool end_secret_work() {
  secret_work = {};
  return true;
}

/// All kinds of use, in threads that a signal handler interrupts.
bool use_in_threads(Host& host, std::ostream& answer) {
  Load load(host.ctx.get(), host.key.get());
  load.disturb(std::chrono::milliseconds(60));
  answer << " " << load.stacks();
  return load.stop();
}

bool start_work(Host& host, std::ostream& answer) {
  load_of_work = std::make_unique<Load>(host.ctx.get(), host.key.get());
  load_of_work->disturb(std::chrono::milliseconds(50));
  answer << " " << load_of_work->stacks();
  return true;
}

bool stop_work() {
  const bool good = load_of_work->stop();
  load_of_work.reset();
  return good;
}

bool unload(Host& host) {
  secret_work = {};
  host.key.reset();
  if (host.vhsm != nullptr) OSSL_PROVIDER_unload(host.vhsm);
  if (host.standard != nullptr) OSSL_PROVIDER_unload(host.standard);
  host = Host{nullptr, nullptr, nullptr, nullptr};
  return true;
}

bool execute(Host& host, const std::string& command, std::istream& arguments,
             std::ostream& answer) {
  if (command == "load") return load_key(host, arguments);
  if (command == "refuse") return refuse(host, arguments, answer);
  if (command == "refuse-parts") return refuse_parts(host, arguments, answer);
  if (command == "secret") return begin_secret_work(host, arguments);
  if (command == "end-secret") return end_secret_work();
  if (command == "use") return use_in_threads(host, answer);
  if (command == "start") return start_work(host, answer);
  if (command == "stop") return stop_work();
  if (command == "sign") return sign_to_files(host, arguments);
  if (command == "fork") return fork_child(host, arguments, answer);
  if (command == "end") return end_child(arguments);
  if (command == "hold") return hold(arguments);
  if (command == "unload") return unload(host);
  return false;
}

}  // namespace

int main() {
  Host host;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream arguments(line);
    std::ostringstream answer;
    std::string command;
    arguments >> command;
    const bool good = execute(host, command, arguments, answer);
    if (!good) ERR_print_errors_fp(stderr);
    std::cout << (good ? "ok" : "failed") << answer.str() << std::endl;
  }
}
