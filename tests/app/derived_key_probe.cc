// SPDX-License-Identifier: Apache-2.0
//
// Asks /dev/sev-guest for a derived key, into a page of memfd_secret, and prints a digest of it:
// what a sealing keystore does, in a program of its own. With an argument: from a chroot there.
#include <fcntl.h>
#include <linux/sev-guest.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr std::size_t kPage = 4096;

int failed(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  return 1;
}

void* secret_page() {
  const int file = static_cast<int>(::syscall(SYS_memfd_secret, O_CLOEXEC));
  if (file < 0 || ::ftruncate(file, kPage) != 0) return MAP_FAILED;
  return ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
}

void print_digest(const std::uint8_t* key, std::size_t size) {
  std::array<std::uint8_t, 32> digest{};
  EVP_Digest(key, size, digest.data(), nullptr, EVP_sha256(), nullptr);
  std::printf("memfd_secret ");
  for (const std::uint8_t byte : digest) std::printf("%02x", byte);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && ::chroot(argv[1]) != 0) return failed("chroot");
  const int device = ::open("/dev/sev-guest", O_RDWR | O_CLOEXEC);
  if (device < 0) return failed("/dev/sev-guest");
  void* const page = secret_page();
  if (page == MAP_FAILED) return failed("memfd_secret");
  snp_derived_key_req request{};
  snp_guest_request_ioctl call{};
  call.msg_version = 1;
  call.req_data = reinterpret_cast<std::uintptr_t>(&request);
  call.resp_data = reinterpret_cast<std::uintptr_t>(page);
  if (::ioctl(device, SNP_GET_DERIVED_KEY, &call) != 0) return failed("SNP_GET_DERIVED_KEY");
  constexpr std::size_t kOffset = 0x20;
  print_digest(static_cast<const std::uint8_t*>(page) + kOffset, 32);
}
