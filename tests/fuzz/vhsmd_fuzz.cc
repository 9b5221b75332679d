// SPDX-License-Identifier: Apache-2.0
//
// A hostile client of vhsmd. The input is messages, each behind its size in two bytes. Whatever
// they ask, an owner gets an answer that survives the wire, and a stranger gets nothing but
// refusals and an empty list of names.
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/handle.h"
#include "keystore/daemon/message.h"
#include "keystore/daemon/service.h"
#include "keystore/warm_up.h"
#include "memory/protected_memory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace vhsm::keystore;  // NOLINT(google-build-using-namespace): the target is this
using vhsm::ByteView;
using vhsm::Errc;
using vhsm::Log;

constexpr uid_t kOwner = 990;
constexpr uid_t kStranger = 33;
constexpr const char* kPeerName = "default/key/x25519";
constexpr const char* kSecretName = "default/key/secret";

void require(bool holds) {
  if (!holds) std::abort();
}

Peer peer(uid_t user) { return {user, user, {}, 1, "nginx.service"}; }

std::string pem_of(const vhsm::ossl::PKey& key) {
  const vhsm::ossl::Bio bio(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                        nullptr) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

/// One key of each kind; any other name is missing, at once.
class OneOfEach final : public KeySource {
 public:
  OneOfEach() {
    keep("default/key/rsa", EVP_RSA_gen(2048));
    keep("default/key/p256", EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    keep("default/key/ed25519", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    keep("default/key/x25519", EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  }
  vhsm::Result<vhsm::SecretBytes> fetch(
      const KeyName& name, std::chrono::steady_clock::time_point /*deadline*/) override {
    if (name.path() == kSecretName) return vhsm::SecretBytes::zeros(32);
    const auto found = pems_.find(name.path());
    if (found == pems_.end()) return vhsm::fail(Errc::kMissing, "no such key", name.uri());
    const std::vector<std::uint8_t> bytes(found->second.begin(), found->second.end());
    return vhsm::SecretBytes::copy(bytes);
  }
  [[nodiscard]] const std::map<std::string, std::string>& pems() const noexcept { return pems_; }

 private:
  void keep(const char* name, EVP_PKEY* key) { pems_[name] = pem_of(vhsm::ossl::PKey(key)); }

  std::map<std::string, std::string> pems_;
};

/// What is made once.
class World {
 public:
  World() {
    require(vhsm::memory::initialise({.force_locked = true}).ok() && warm_up().ok());
    const auto source = std::make_shared<OneOfEach>();
    keystore_ = make_memory_keystore(source, {}, std::make_shared<vhsm::Metrics>());
    for (const auto& [name, pem] : source->pems()) {
      const auto entry = keystore_->open({KeyName::parse(name).value(), {}, {}});
      require(entry.ok());
      public_keys_[name] = entry.value().public_key_info;
    }
    const auto secret =
        keystore_->open({KeyName::parse(kSecretName).value(), ObjectType::kSecret, {}});
    require(secret.ok());
    public_keys_[kSecretName] = secret.value().symmetric->fingerprint();
  }

  /// With rules of its own, so that an input means the same each time.
  [[nodiscard]] Service service() const {
    return {keystore_, Grants::load("", kOwner).value(), Log(), [] { return DaemonStatus(); }};
  }

  /// The keys are new each time, so a public key of one byte stands for the right one.
  void fill_in(Request& request) const {
    const auto found = public_keys_.find(std::string(request.name));
    if (request.public_key.size() == 1 && found != public_keys_.end()) {
      request.public_key = found->second;
    }
    if (request.peer.size() == 1) request.peer = public_keys_.at(kPeerName);
  }

 private:
  std::shared_ptr<HoldingKeystore> keystore_;
  std::map<std::string, std::vector<std::uint8_t>> public_keys_;
};

void check_on_the_wire(const Reply& reply) {
  const vhsm::keystore::Message sent = encode(reply);
  const auto bytes = std::span(sent.bytes());
  const auto size = decode_length(bytes.first<kLengthBytes>());
  require(size.ok() && size.value() == bytes.size() - kLengthBytes);
  const auto got = decode_reply(bytes.subspan(kLengthBytes));
  require(got.ok() && got.value().error.has_value() == reply.error.has_value());
  if (reply.error.has_value()) return require(got.value().error->code == reply.error->code);
  require(got.value().output.bytes() == reply.output.bytes());
  require(got.value().public_key == reply.public_key && got.value().lines == reply.lines);
}

void check_again(const Request& request) {
  const vhsm::keystore::Message sent = encode(request);
  const auto again = decode_request(std::span(sent.bytes()).subspan(kLengthBytes));
  require(again.ok() && again.value().ask == request.ask && again.value().name == request.name);
}

void check_refused(const Reply& reply) {
  require(reply.error.has_value() && reply.output.bytes().empty() && reply.public_key.empty() &&
          reply.certificates.empty() && reply.lines.empty());
}

/// What would change what later inputs meet; and RSA keys take seconds.
bool changes_keys(Ask ask) noexcept { return ask == Ask::kGenerate || ask == Ask::kRemove; }

void check_stranger(const Request& request, const Reply& reply) {
  check_on_the_wire(reply);
  if (request.ask == Ask::kStatus) return;
  if (request.ask == Ask::kNames || request.ask == Ask::kList) {
    return require(!reply.error.has_value() && reply.lines.empty());
  }
  check_refused(reply);
}

void play(const World& world, Service& served, Service& strange, ByteView message) {
  auto request = decode_request(message);
  if (!request.ok()) return;
  check_again(request.value());
  world.fill_in(request.value());
  if (request.value().ask == Ask::kTakeOver) {  // the server asks this and no more
    require(!strange.may_take_over(peer(kStranger)).ok());
    return;
  }
  check_stranger(request.value(), strange.answer(request.value(), peer(kStranger)));
  if (changes_keys(request.value().ask)) return;
  const Reply reply = served.answer(request.value(), peer(kOwner));
  require(reply.output.bytes().size() <= std::min(request.value().capacity, kMaxOutputBytes));
  check_on_the_wire(reply);
}

void check_raw(ByteView input) {
  static_cast<void>(decode_reply(input));
  if (input.size() < kLengthBytes) return;
  const auto size = decode_length(input.first<kLengthBytes>());
  require(!size.ok() || (size.value() > 0 && size.value() <= kMaxMessageBytes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const World world;
  ByteView rest(data, size);
  check_raw(rest);
  Service served = world.service();
  Service strange = world.service();
  while (rest.size() >= 2) {
    const std::size_t told = std::size_t{rest[0]} << 8 | rest[1];
    rest = rest.subspan(2);
    const std::size_t taken = std::min(told, rest.size());
    play(world, served, strange, rest.first(taken));
    rest = rest.subspan(taken);
  }
  return 0;
}
