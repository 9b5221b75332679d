# SPDX-License-Identifier: Apache-2.0
# Sourced by demo.sh and test.sh: installs Debian packages that are not there yet.

readonly BUILD_PACKAGES="g++ cmake ninja-build pkg-config git libssl-dev libfmt-dev nlohmann-json3-dev
  libboost-dev libcli11-dev libsqlite3-dev libcpp-httplib-dev libcbor-dev libseccomp-dev zlib1g-dev libzstd-dev openssl ca-certificates"
readonly TEST_PACKAGES="libgtest-dev libgmock-dev valgrind binutils jose python3-jwcrypto python3-venv ovmf
  nginx-light haproxy systemd util-linux gdb
  cryptsetup-bin curl python3"
readonly GUEST_PACKAGES="qemu-system-x86 busybox-static cpio udev dmsetup e2fsprogs"

# What only newer releases have: OpenSSL's FIPS provider and systemd's cryptsetup by itself (Debian 13), and
# Wycheproof's vectors (after it).
newer_packages() {
  local name
  for name in openssl-provider-fips systemd-cryptsetup golang-github-c2sp-wycheproof-dev; do
    if apt-cache show "$name" >/dev/null 2>&1; then echo "$name"; fi
  done
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Servers among the packages are not started: this machine may have its own.
readonly INSTALL='
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap "rm -f /usr/sbin/policy-rc.d" EXIT
    trap "exit 1" INT TERM
    printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
  fi
  apt-get update -q && apt-get install -q -y --no-install-recommends "$@"'

# install_packages NAME...: asks apt only for what is missing, so it is quick and needs no network
# the second time.
install_packages() {
  local name missing=()
  for name in "$@"; do
    dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return
  echo "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! as_root env DEBIAN_FRONTEND=noninteractive sh -c "$INSTALL" sh "${missing[@]}" \
      >"$log" 2>&1; then
    cat "$log" >&2
    echo "the packages could not be installed: see above" >&2
    return 1
  fi
  rm -f "$log"
}
