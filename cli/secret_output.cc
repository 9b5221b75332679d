// SPDX-License-Identifier: Apache-2.0
//
// Source: write(2), add_key(2), keyrings(7).
#include "cli/secret_output.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <span>

namespace vhsm::cli {
namespace {

constexpr std::size_t kMaxUserKeyBytes = 32767;  // add_key(2), type "user"

std::string text_of(int descriptor) { return "descriptor " + std::to_string(descriptor); }

Result<std::int32_t> keyring_called(const std::string& name) {
  if (name == "session") return KEY_SPEC_SESSION_KEYRING;
  if (name == "user") return KEY_SPEC_USER_KEYRING;
  std::int32_t serial = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), serial);
  if (error == std::errc{} && end == name.data() + name.size() && serial > 0) return serial;
  return fail(Errc::kInvalidArgument, "a keyring is session, user or its number", name);
}

}  // namespace

Status check_descriptor(int descriptor, bool terminal) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
    return fail(Errc::kInvalidArgument, "this is not open for writing", text_of(descriptor));
  }
  if (terminal || ::isatty(descriptor) == 0) return {};
  return fail(Errc::kInvalidArgument,
              "a secret does not go to a terminal: use a pipe, --fd or --keyring, or --terminal",
              text_of(descriptor));
}

Status write_to_descriptor(int descriptor, const SecretBytes& secret, bool terminal) {
  VHSM_TRY(check_descriptor(descriptor, terminal));
  ::signal(SIGPIPE, SIG_IGN);  // so that it is an error like any other
  std::span<const std::uint8_t> bytes = secret.expose();
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EPIPE) {
      return fail(Errc::kIo, "nobody reads the secret: the pipe is closed", text_of(descriptor));
    }
    if (put <= 0) return fail(Errc::kIo, "the secret cannot be written", text_of(descriptor));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Result<long> add_to_keyring(const std::string& keyring, const std::string& description,
                            const SecretBytes& secret) {
  const std::int32_t ring = VHSM_TRY(keyring_called(keyring));
  if (secret.size() > kMaxUserKeyBytes) {
    return fail(Errc::kBadLength, "a key of the kernel has 32767 bytes at most", description);
  }
  const long serial = ::syscall(SYS_add_key, "user", description.c_str(), secret.expose().data(),
                                secret.size(), ring);
  if (serial >= 0) return serial;
  return fail(Errc::kIo, "the kernel does not take the secret into this keyring", keyring);
}

}  // namespace vhsm::cli
