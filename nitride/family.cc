// SPDX-License-Identifier: Apache-2.0
#include "nitride/family.h"

#include <pthread.h>
#include <sys/mman.h>

#include <openssl/rand.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "jose/json.h"
#include "jose/key_wrap.h"
#include "memory/protected_memory.h"

namespace vhsm::nitride {
namespace {

constexpr std::size_t kPlaceBytes = std::size_t{64} << 10;  // touched as far as it is used
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kSealedBytes = std::size_t{63} << 10;  // a token has some KiB
constexpr std::string_view kPurpose = "vhsm session";

/// What is sealed: these fields, the TEE key, and the texts as JSON.
struct Fixed {
  std::uint64_t number;  ///< also outside; inside it is authentic
  std::int64_t began;    ///< CLOCK_MONOTONIC, nanoseconds: one clock for all members
  std::int64_t expires;
  std::uint64_t key_bytes;
};

bool make_lock(pthread_mutex_t& mutex) {
  pthread_mutexattr_t attributes;
  if (pthread_mutexattr_init(&attributes) != 0) return false;
  const bool made = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
                    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0 &&
                    pthread_mutex_init(&mutex, &attributes) == 0;
  pthread_mutexattr_destroy(&attributes);
  return made;
}

timespec as_timespec(TimePoint time) {
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  const auto count = time.time_since_epoch().count();
  return {count / kPerSecond, count % kPerSecond};
}

CookieJar cookies_of(std::string_view header) {
  CookieJar jar;
  while (!header.empty()) {
    const std::size_t end = std::min(header.find("; "), header.size());
    jar.take(header.substr(0, end));
    header.remove_prefix(std::min(end + 2, header.size()));
  }
  return jar;
}

std::int64_t count_of(TimePoint time) { return time.time_since_epoch().count(); }
TimePoint time_of(std::int64_t count) { return TimePoint(Clock::duration(count)); }

std::string texts_of(const Session& session) {
  return jose::Json::array({session.cookies.header(), session.token, session.facts.nonce,
                            session.facts.measurement, session.facts.tcb})
      .dump();
}

Result<SecretBytes> serialize(const Session& session) {
  const SecretBytes key = VHSM_TRY(session.tee_key.exported());
  const std::string texts = texts_of(session);
  const Fixed fixed{session.number, count_of(session.began), count_of(session.expires), key.size()};
  auto bytes = VHSM_TRY(SecretBytes::zeros(sizeof fixed + key.size() + texts.size()));
  const memory::Access access;
  std::uint8_t* to = bytes.expose().data();
  std::memcpy(to, &fixed, sizeof fixed);
  std::memcpy(to + sizeof fixed, key.expose().data(), key.size());
  std::memcpy(to + sizeof fixed + key.size(), texts.data(), texts.size());
  return bytes;
}

Result<std::array<std::string, 5>> read_texts(std::span<const std::uint8_t> bytes) {
  const auto json = jose::Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  std::array<std::string, 5> texts;
  if (!json.is_array() || json.size() != texts.size()) {
    return fail(Errc::kBadFormat, "a shared session");
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!json[i].is_string()) return fail(Errc::kBadFormat, "a shared session");
    texts.at(i) = json[i].get_ref<const std::string&>();
  }
  return texts;
}

Result<Session> parse(const SecretBytes& bytes) {
  const memory::Access access;
  Fixed fixed{};
  const auto all = bytes.expose();
  if (all.size() < sizeof fixed) return fail(Errc::kBadLength, "a shared session");
  std::memcpy(&fixed, all.data(), sizeof fixed);
  const auto rest = all.subspan(sizeof fixed);
  if (fixed.key_bytes > rest.size()) return fail(Errc::kBadLength, "a shared session");
  const SecretBytes key = VHSM_TRY(SecretBytes::copy(rest.first(fixed.key_bytes)));
  auto texts = VHSM_TRY(read_texts(rest.subspan(fixed.key_bytes)));
  auto tee_key = VHSM_TRY(jose::TeeKey::imported(key));
  auto& [cookies, token, nonce, measurement, tcb] = texts;
  return Session{cookies_of(cookies),  std::move(token),
                 std::move(tee_key),   {std::move(nonce), std::move(measurement), std::move(tcb)},
                 time_of(fixed.began), time_of(fixed.expires),
                 fixed.number};
}

}  // namespace

/// One endpoint's part of the shared memory. Written by its lock's holder; read by anyone, who
/// trusts nothing of it but what opens under the family's key.
struct Family::Place {
  pthread_mutex_t mutex;
  std::atomic<std::uint64_t> number{0};
  std::uint32_t size = 0;
  std::array<std::uint8_t, jose::kIvBytes> iv{};
  std::array<std::uint8_t, jose::kTagBytes> tag{};
  std::array<std::uint8_t, kSealedBytes> sealed{};
};

Result<Family> Family::create(std::size_t endpoints) {
  static_assert(sizeof(Place) <= kPlaceBytes && std::atomic<std::uint64_t>::is_always_lock_free);
  auto key = VHSM_TRY(SecretBytes::zeros(kKeyBytes));
  VHSM_TRY(memory::run_protected([&]() -> Status {
    if (RAND_priv_bytes(key.expose().data(), static_cast<int>(key.size())) == 1) return {};
    return fail(Errc::kCrypto, "a key for shared sessions");
  }));
  void* const memory = ::mmap(nullptr, endpoints * sizeof(Place), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(Errc::kOutOfMemory, "no page for shared sessions");
  auto* const places = static_cast<Place*>(memory);
  Family family(places, endpoints, std::move(key));
  for (std::size_t i = 0; i < endpoints; ++i) {
    if (!make_lock((new (places + i) Place)->mutex)) {
      return fail(Errc::kInternal, "no lock for shared sessions");
    }
  }
  return family;
}

Family::Family(Family&& other) noexcept
    : places_(std::exchange(other.places_, nullptr)),
      count_(other.count_),
      key_(std::move(other.key_)) {}

Family::~Family() {
  if (places_ != nullptr) ::munmap(places_, count_ * sizeof(Place));
}

std::uint64_t Family::last(std::size_t endpoint) const noexcept {
  return places_[endpoint].number.load(std::memory_order_relaxed);
}

std::unique_ptr<Family::Turn> Family::wait(std::size_t endpoint, TimePoint deadline) const {
  pthread_mutex_t& mutex = places_[endpoint].mutex;
  const timespec until = as_timespec(deadline);
  const int rc = pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until);
  if (rc == ETIMEDOUT) return nullptr;
  // Its holder died; what it left half written does not open.
  if (rc == EOWNERDEAD) pthread_mutex_consistent(&mutex);
  return std::unique_ptr<Turn>(new Turn(*this, endpoint, rc == 0 || rc == EOWNERDEAD));
}

Family::Turn::~Turn() {
  if (locked_) pthread_mutex_unlock(&family_.places_[endpoint_].mutex);
}

std::optional<Session> Family::Turn::newest(std::uint64_t after, TimePoint since) const {
  const Place& place = family_.places_[endpoint_];
  if (!locked_ || family_.last(endpoint_) <= after) return std::nullopt;
  const std::size_t size = std::min<std::size_t>(place.size, kSealedBytes);
  auto session = memory::run_protected([&]() -> Result<SecretBytes> {
    return jose::gcm_open(family_.key_, place.iv, kPurpose, std::span(place.sealed).first(size),
                          place.tag);
  });
  if (!session.ok()) return std::nullopt;
  auto parsed = parse(session.value());
  if (!parsed.ok() || parsed.value().number <= after) return std::nullopt;
  if (parsed.value().expires <= Clock::now()) return std::nullopt;
  if (parsed.value().began < since) return std::nullopt;
  return std::move(parsed).value();
}

void Family::Turn::publish(Session& session) const {
  Place& place = family_.places_[endpoint_];
  session.number = std::max(session.number, family_.last(endpoint_)) + 1;
  place.size = 0;
  place.number.store(session.number, std::memory_order_relaxed);
  const auto bytes = serialize(session);
  if (!locked_ || !bytes.ok() || bytes.value().size() > kSealedBytes) return;
  const Status sealed = memory::run_protected([&]() -> Status {
    if (RAND_bytes(place.iv.data(), static_cast<int>(place.iv.size())) != 1) {
      return fail(Errc::kCrypto, "an IV");
    }
    const auto plain = bytes.value().expose();
    return jose::gcm_seal(family_.key_, place.iv, kPurpose, plain,
                          std::span(place.sealed).first(plain.size()), place.tag);
  });
  if (sealed.ok()) place.size = static_cast<std::uint32_t>(bytes.value().size());
}

}  // namespace vhsm::nitride
