#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hosts.sh SUITE...: the module as built here in the OpenSSL of other Debian releases, e.g.
#   hosts.sh trixie sid experimental
# For each a root is made with debootstrap (400 MB, removed at the end; needs root and network), and its
# stock openssl uses keys from a KBS on this machine. Needs build/release, or another build in VHSM_BUILD.
# With a release older than this machine (Debian 13: hosts.sh bookworm) the host's OpenSSL is older than the
# private one; its programs then run by this machine's libc, which the module was linked with.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

if [ -z "${VHSM_HOSTS_MOUNTS:-}" ]; then exec env VHSM_HOSTS_MOUNTS=own unshare --mount "$0" "$@"; fi

readonly BUILD=${VHSM_BUILD:-$PWD/build/release}
readonly PATH=$BUILD/bin:$PATH
FOLDER=$(mktemp -d "${TMPDIR:-/tmp}/vhsm-hosts.XXXXXX")
KBS=
ROOT=
LOADER=()

clean_up() {
  if [ -n "$KBS" ]; then kill "$KBS" 2>/dev/null || true; fi
  if [ -n "$ROOT" ]; then umount "$ROOT/proc" 2>/dev/null || true; fi
  rm -rf --one-file-system "$FOLDER"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# quietly COMMAND...: its output is shown when it fails.
quietly() { "$@" >"$FOLDER/log" 2>&1 || { tail -n 20 "$FOLDER/log" >&2; echo "hosts.sh: FAILED: $*" >&2; return 1; }; }

# refused COMMAND...: must fail, by vhsm's refusal.
refused() {
  if "$@" >"$FOLDER/log" 2>&1; then echo "hosts.sh: this should have been refused: $*" >&2; return 1; fi
  grep -q ':vhsm:' "$FOLDER/log" || { cat "$FOLDER/log" >&2; return 1; }
}

# make_root SUITE: the suite's openssl in a root of its own; what experimental lacks comes from sid.
make_root() {
  ROOT=$FOLDER/$1
  local base=$1
  [ "$1" = experimental ] && base=sid
  quietly debootstrap --variant=minbase --include=ca-certificates,openssl "$base" "$ROOT"
  mount -t proc proc "$ROOT/proc"
  [ "$1" = "$base" ] && return
  sed "s/ $base / $1 /" "$ROOT/etc/apt/sources.list" >"$ROOT/etc/apt/sources.list.d/$1.list"
  cp /etc/resolv.conf "$ROOT/etc/"
  # A mirror may be behind; the signatures are checked all the same.
  quietly chroot "$ROOT" apt-get -o Acquire::Check-Valid-Until=false update
  quietly chroot "$ROOT" apt-get install -y -t "$1" openssl
}

# True if the programs of $ROOT have an older libc than this machine's.
has_older_libc() {
  local ours theirs
  ours=$(getconf GNU_LIBC_VERSION) theirs=$(chroot "$ROOT" getconf GNU_LIBC_VERSION)
  [ "$ours" != "$theirs" ] && [ "$(printf '%s\n' "$ours" "$theirs" | sort -V | head -n 1)" = "$theirs" ]
}

lend_libc() {
  mkdir "$ROOT/libc"
  ldd "$BUILD/lib/vhsm.so" | grep -oE '/[^ ]*/(libc|libm|ld-linux-x86-64)\.so\.[0-9]+' | xargs cp -Lt "$ROOT/libc/"
  LOADER=(/libc/ld-linux-x86-64.so.2 --library-path /libc:/vhsm --argv0 openssl)
}

# The module, what it needs beside libc, and a platform.
install_vhsm() {
  mkdir "$ROOT/vhsm"
  cp "$BUILD"/lib/vhsm.so "$ROOT/vhsm/"
  ldd "$BUILD/lib/vhsm.so" | awk '/libcbor/ {print $3}' | xargs cp -Lt "$ROOT/vhsm/"
  cp -r "$FOLDER/snp" "$FOLDER/kbs/ca.pem" "$FOLDER"/*.pub "$FOLDER"/*.crt "$ROOT/vhsm/"
  printf '[vhsm]\nplatform = emulator:/vhsm/snp\nkbs = %s\nkbs_ca = /vhsm/ca.pem\n' "$URL" >"$ROOT/vhsm/vhsm.cnf"
  echo "a message" >"$ROOT/vhsm/FILE"
}

host_openssl() {
  chroot "$ROOT" env -i PATH=/usr/bin:/bin OPENSSL_MODULES=/vhsm LD_LIBRARY_PATH=/vhsm \
    VHSM_CONF=/vhsm/vhsm.cnf sh -c 'cd /vhsm && exec "$@"' sh "${LOADER[@]}" /usr/bin/openssl "$@"
}

# make_key NAME OPTIONS...: the private half to the KBS, the rest here.
make_key() {
  local name=$1
  shift
  quietly openssl req -x509 -nodes -days 30 -subj "/CN=$name.example" "$@" -keyout "$name.key" -out "$name.crt"
  openssl x509 -in "$name.crt" -noout -pubkey >"$name.pub"
  cat "$name.key" "$name.crt" >"$name.pem"
  quietly vhsm-kbs --config kbs/vhsm-kbs.cnf resource put "default/tls/$name" "$name.pem"
  rm "$name.key" "$name.pem"
}

start_kbs() {
  quietly vhsm-snp-emulator init snp
  quietly vhsm-kbs --config kbs/vhsm-kbs.cnf init --host 127.0.0.1 --listen 127.0.0.1:0 \
    --trust-test-root "$FOLDER/snp/ark.pem" --measurement any
  vhsm-kbs --config kbs/vhsm-kbs.cnf serve >kbs.log 2>&1 &
  KBS=$!
  local i
  for ((i = 0; i < 100; i++)); do
    URL=$(sed -nE 's|.* listens on (https:.*)|\1|p' kbs.log)
    if [ -n "$URL" ]; then return; fi
    sleep 0.1
  done
  cat kbs.log >&2
  return 1
}

serves_tls() {
  local name=$1 port=$((20000 + RANDOM % 20000)) server
  host_openssl s_server -provider vhsm -provider default -key "vhsm:default/tls/$name" -cert "$name.crt" \
    -accept "127.0.0.1:$port" -naccept 1 -quiet >"$FOLDER/server.log" 2>&1 &
  server=$!
  sleep 2
  host_openssl s_client -connect "127.0.0.1:$port" -CAfile "$name.crt" -tls1_3 -verify_return_error -brief \
    </dev/null >"$FOLDER/log" 2>&1 || { cat "$FOLDER/log" "$FOLDER/server.log" >&2; kill "$server"; return 1; }
  wait "$server" || true
  grep -q 'Verification: OK' "$FOLDER/log"
}

# What a host's user does with each key.
use_key() {
  local name=$1 both=(-provider vhsm -provider default)
  quietly host_openssl storeutl "${both[@]}" -noout "vhsm:default/tls/$name"
  quietly host_openssl pkeyutl "${both[@]}" -sign -inkey "vhsm:default/tls/$name" -rawin -in FILE -out SIG
  quietly host_openssl pkeyutl -verify -pubin -inkey "$name.pub" -rawin -in FILE -sigfile SIG
  quietly host_openssl req -new "${both[@]}" -key "vhsm:default/tls/$name" -subj /CN=x -out x.csr
  quietly host_openssl req -in x.csr -noout -verify
  refused host_openssl pkey "${both[@]}" -in "vhsm:default/tls/$name" -outform DER -out leak.der
  [ ! -s "$ROOT/vhsm/leak.der" ]
  serves_tls "$name"
  echo "  $name: opened, signs, requests a certificate, serves TLS 1.3, and stays"
}

use_secret() {
  quietly host_openssl mac -provider vhsm -provider default -macopt digest:SHA256 \
    -macopt vhsm-uri:vhsm:default/key/hmac -in FILE VHSM-HMAC
  grep -qi "$(openssl mac -macopt digest:SHA256 -macopt hexkey:"$(printf '%064d' 7)" -in "$ROOT/vhsm/FILE" HMAC)" "$FOLDER/log"
  echo "  hmac: makes the same code as its bytes"
}

try_suite() {
  make_root "$1"
  install_vhsm
  LOADER=()
  if has_older_libc; then lend_libc; fi
  echo "$1: $(host_openssl version | cut -d' ' -f1,2) with $(host_openssl list -providers -verbose -provider vhsm | sed -nE 's/^ *build info: *//p' | tail -n 1)"
  quietly host_openssl list -providers -provider vhsm
  local name
  for name in rsa ec ed25519; do use_key "$name"; done
  use_secret
  umount "$ROOT/proc"
  rm -rf --one-file-system "$ROOT"
  ROOT=
}

main() {
  [ $# -gt 0 ] || { echo "usage: hosts.sh SUITE..." >&2; exit 2; }
  cd "$FOLDER"
  start_kbs
  make_key rsa -newkey rsa:2048
  make_key ec -newkey ec -pkeyopt ec_paramgen_curve:P-256
  make_key ed25519 -newkey ed25519
  printf '%064d' 7 | sed 's/../\\x&/g' | xargs -0 printf >hmac.secret
  quietly vhsm-kbs --config kbs/vhsm-kbs.cnf resource put default/key/hmac hmac.secret
  local suite
  for suite in "$@"; do try_suite "$suite"; done
}

main "$@"
