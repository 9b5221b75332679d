#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh: from a fresh Debian 12 or 13 to a key that stock OpenSSL uses and nobody can read, in one
# command. Installs packages (with sudo if not root), builds what is not built, works in a temporary
# folder and removes it again. Asks nothing.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

unset OPENSSL_CONF OPENSSL_MODULES VHSM_CONF VHSM_MEMORY
readonly BUILD=$PWD/build/release
readonly PATH=$BUILD/bin:$PATH SOURCE=$PWD NGINX=/usr/sbin/nginx
FOLDER=$(mktemp -d "${TMPDIR:-/tmp}/vhsm-demo.XXXXXX")
KBS=
DAEMON=

clean_up() {
  if [ -s "$FOLDER/nginx.pid" ]; then kill -QUIT "$(cat "$FOLDER/nginx.pid")" || true; fi
  local process
  for process in $DAEMON $KBS; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  rm -rf "$FOLDER"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

on_error() {
  local status=$1 line=$2
  echo "demo.sh: FAILED at line $line (status $status)" >&2
  if [ -s "$FOLDER/nginx.log" ]; then
    echo "nginx said:" >&2
    tail -n 5 "$FOLDER/nginx.log" >&2
  fi
  if [ -s "$FOLDER/kbs.log" ]; then
    echo "the KBS said:" >&2
    tail -n 5 "$FOLDER/kbs.log" >&2
  fi
  exit 1
}
trap 'on_error $? $LINENO' ERR

# say WORDS...: what happens next, in a line.
say() {
  if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

# show COMMAND...: prints the command, runs it, and indents what it prints.
show() {
  printf '  $ %s\n' "$*"
  "$@" 2>&1 | sed 's/^/    /'
}

# refuse COMMAND...: as show, for what must not work. Prints OpenSSL's error of vhsm: reason and sentence.
refuse() {
  printf '  $ %s\n' "$*"
  if "$@" >"$FOLDER/refused.log" 2>&1; then
    echo "demo.sh: this should have been refused" >&2
    return 1
  fi
  sed -nE 's/^[^:]*:error:[^:]*:vhsm:[^:]*:([^:]*):[^:]*:[0-9]+:/    \1: /p' "$FOLDER/refused.log" |
    sed -n 1p
}

build() {
  # shellcheck disable=SC2086  # a list of words
  install_packages $BUILD_PACKAGES libgtest-dev libgmock-dev nginx-light curl
  local log=$FOLDER/build.log
  if ! { cmake --preset release &&
    cmake --build --preset release --target vhsm vhsmd vhsm_cli vhsm-kbs vhsm-snp-emulator vhsm-case-ab; } \
    >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    return 1
  fi
}

# make_key NAME OPTIONS...: a key and a certificate for it. The KBS gets both in one file; of the
# private half nothing stays here.
make_key() {
  local name=$1
  shift
  openssl req -x509 -nodes -days 30 -subj "/CN=$name.example" "$@" \
    -keyout "$name.key" -out "$name.crt" 2>/dev/null
  openssl x509 -in "$name.crt" -noout -pubkey >"$name.pub"
  cat "$name.key" "$name.crt" >"$name.pem"
  show vhsm-kbs --config kbs/vhsm-kbs.cnf resource put "default/tls/$name" "$name.pem"
  rm "$name.key" "$name.pem"
}

# wait_for PROCESS LOG PATTERN: until a line of LOG matches; prints what the pattern's group says.
wait_for() {
  local i found
  for ((i = 0; i < 100; i++)); do
    found=$(sed -nE "s|$3|\\1|p" "$2")
    if [ -n "$found" ]; then echo "$found"; return; fi
    kill -0 "$1"
    sleep 0.1
  done
  echo "demo.sh: this does not come up:" >&2
  cat "$2" >&2
  return 1
}

start_kbs() {
  vhsm-kbs --config kbs/vhsm-kbs.cnf serve >kbs.log 2>&1 &
  KBS=$!
  URL=$(wait_for "$KBS" kbs.log '.* listens on (https:.*)')
}

# From now on vhsmd has the keys; the same file tells it and its clients.
start_vhsmd() {
  printf 'keystore = unix:%s/run/vhsmd.sock\ngrants   = %s/grants\n' "$FOLDER" "$FOLDER" >>vhsm.cnf
  sed -n 's/^keystore/    &/p' vhsm.cnf
  echo "  \$ vhsmd --config vhsm.cnf &"
  vhsmd --config vhsm.cnf >vhsmd.log 2>&1 &
  DAEMON=$!
  wait_for "$DAEMON" vhsmd.log '(vhsmd serves .*)' | sed 's/^/    /'
}

configure() {
  cat >vhsm.cnf <<END
[vhsm]
platform = emulator:$FOLDER/snp
kbs      = $URL
kbs_ca   = $FOLDER/kbs/ca.pem
END
  sed 's/^/    /' vhsm.cnf
  export VHSM_CONF=$FOLDER/vhsm.cnf OPENSSL_MODULES=$BUILD/lib
}

sign_with() {
  local name=$1
  show openssl pkeyutl -provider vhsm -sign -inkey "vhsm:default/tls/$name" -rawin -in FILE -out SIG
  show openssl pkeyutl -verify -pubin -inkey "$name.pub" -rawin -in FILE -sigfile SIG
}

use_like_any_key() {
  local both=(-provider vhsm -provider default)
  show openssl req -new "${both[@]}" -key vhsm:default/tls/ec -subj /CN=ec.example -out ec.csr
  show openssl req -in ec.csr -noout -verify
  show openssl storeutl "${both[@]}" -noout vhsm:default/tls/www
  show openssl dgst -sha256 "${both[@]}" -sign vhsm:default/tls/www -out SIG FILE
  show openssl dgst -sha256 -verify www.pub -signature SIG FILE
}

keep_private() {
  local both=(-provider vhsm -provider default)
  refuse openssl pkey "${both[@]}" -in vhsm:default/tls/www -outform DER -out leak.der
  if [ -s leak.der ]; then
    echo "demo.sh: bytes of a private key were written" >&2
    return 1
  fi
  refuse openssl pkeyutl -provider vhsm -sign -inkey vhsm:default/tls/nobody -rawin -in FILE -out SIG
}

# start_nginx: Debian's, on a free port, with the key's stand-in for a key file. Sets PORT.
start_nginx() {
  vhsm key pem tls/www --out www.pem
  local i
  for ((i = 0; i < 20; i++)); do
    PORT=$((20000 + RANDOM % 20000))
    cat >nginx.conf <<END
pid $FOLDER/nginx.pid;
error_log $FOLDER/nginx.log;
events {}
http {
  access_log off;
  client_body_temp_path $FOLDER/temp; proxy_temp_path $FOLDER/temp; fastcgi_temp_path $FOLDER/temp;
  uwsgi_temp_path $FOLDER/temp; scgi_temp_path $FOLDER/temp;
  server {
    listen 127.0.0.1:$PORT ssl;
    ssl_certificate     $FOLDER/www.crt;
    ssl_certificate_key $FOLDER/www.pem;
    location / { return 200 "a page, served with a key that is in no file\\n"; }
  }
}
END
    if OPENSSL_CONF=$SOURCE/openssl.cnf.d/vhsm.cnf "$NGINX" -e nginx.log -p "$FOLDER" -c nginx.conf 2>>nginx.log
    then return; fi
  done
  echo "demo.sh: nginx does not start" >&2
  return 1
}

serve_with_nginx() {
  start_nginx
  sed -n 's/^ *ssl_certificate/    ssl_certificate/p' nginx.conf
  show curl -sS --cacert www.crt --resolve "www.example:$PORT:127.0.0.1" "https://www.example:$PORT/"
}

# Two programs, one fetch: the KBS's record says so.
share_by_vhsmd() {
  start_vhsmd
  sign_with www
  sign_with www
  show vhsm-kbs --config kbs/vhsm-kbs.cnf audit list --limit 3
  show vhsm key grant default/tls/www --user www-data
  show vhsm key grants
  vhsm doctor | sed -nE 's/^[a-z]+ +vhsmd .*/    &/p'
}

main() {
  say "Packages and build (the first time takes minutes)"
  build
  local start=$SECONDS
  cd "$FOLDER"
  say "1. A machine: an emulated SEV-SNP platform with a root of its own, since no real one is needed here"
  show vhsm-snp-emulator init snp
  say "2. A Key Broker Service with TLS that accepts this platform's reports"
  show vhsm-kbs --config kbs/vhsm-kbs.cnf init --host 127.0.0.1 --listen 127.0.0.1:0 \
    --trust-test-root "$FOLDER/snp/ark.pem" --measurement any
  start_kbs
  say "3. Two keys with certificates go to the KBS, and are deleted here"
  make_key www -newkey rsa:2048 -addext subjectAltName=DNS:www.example
  make_key ec -newkey ec -pkeyopt ec_paramgen_curve:P-256
  say "4. vhsm.cnf says where reports and keys come from"
  configure
  say "5. vhsm doctor: what protects keys here"
  show vhsm doctor
  say "6. Case B: stock OpenSSL signs with a key that is not on this machine; then verifies without vhsm"
  echo "a message" >FILE
  sign_with www
  sign_with ec
  say "7. Cases B and A in one process: the first use attests and fetches, later ones touch nothing"
  show vhsm-case-ab vhsm:default/tls/www vhsm:default/tls/ec
  say "8. It is a key like any other: a request, the store, a digest's signature"
  use_like_any_key
  say "9. What is public of it, and a PEM stand-in (no secret) for programs that take only files"
  show vhsm key show tls/www
  show vhsm key pem tls/ec
  say "10. The private half does not come out; a key that is not there says so"
  keep_private
  say "11. The KBS has it all on record"
  show vhsm-kbs --config kbs/vhsm-kbs.cnf audit list --limit 4
  say "12. Debian's nginx serves with it; the stand-in takes the place of the key file"
  serve_with_nginx
  say "13. vhsmd: a process of its own holds the keys, for all programs that it is told of"
  share_by_vhsmd
  say "Done in $((SECONDS - start)) s after the build. By hand: see README.md"
}

main
