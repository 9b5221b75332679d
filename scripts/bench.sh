#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench.sh [OPTION...]: the time that verifying an SEV-SNP report takes; then vhsm, in the process and in
# vhsmd, against the same key in a file, and that key where vhsm is not loaded: signatures a second, and
# CPU time of nginx's worker for a TLS handshake; where Debian has pkcs11-provider (13 and later), a SoftHSM
# token beside them. Options go to bench_sign; BENCH_STARTS, BENCH_ROUNDS and BENCH_HANDSHAKES to bench_handshake.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

readonly BUILD=$PWD/build/release
FOLDER=$(mktemp -d "${TMPDIR:-/tmp}/vhsm-bench.XXXXXX")
trap 'rm -rf "$FOLDER"' EXIT

build() {
  # shellcheck disable=SC2086  # a list of words
  install_packages $BUILD_PACKAGES libgtest-dev libgmock-dev nginx-light
  { cmake --preset release && cmake --build --preset release --target vhsm bench_sign bench_handshake bench_verify; } >"$FOLDER/log" 2>&1 ||
    { tail -n 40 "$FOLDER/log" >&2; return 1; }
}

# A token in the folder with a key of each type, labelled as bench_sign looks for it.
make_token() {
  export SOFTHSM2_CONF=$FOLDER/softhsm2.conf
  mkdir "$FOLDER/tokens"
  printf 'directories.tokendir = %s\nobjectstore.backend = file\n' "$FOLDER/tokens" >"$SOFTHSM2_CONF"
  local module
  module=$(find /usr/lib -name libsofthsm2.so | head -n 1)
  softhsm2-util --init-token --free --label bench --pin 1234 --so-pin 1234 >/dev/null
  local spec id=0
  for spec in RSA-2048=rsa:2048 P-256=EC:prime256v1 ED25519=EC:edwards25519; do
    pkcs11-tool --module "$module" --login --pin 1234 --keypairgen --key-type "${spec#*=}" \
      --label "${spec%%=*}" --id "0$((++id))" --usage-sign >/dev/null 2>&1 || echo "the token makes no ${spec%%=*} key"
  done
  cat >"$FOLDER/openssl.cnf" <<END
openssl_conf = init
[init]
providers = providers
[providers]
default = default_provider
pkcs11 = pkcs11
[default_provider]
activate = 1
[pkcs11]
activate = 1
module = $(find /usr/lib -path "*/ossl-modules/pkcs11.so" | head -n 1)
pkcs11-module-path = $module
pkcs11-module-token-pin = 1234
pkcs11-module-quirks = no-deinit
pkcs11-module-encode-provider-uri-to-pem = true
END
  chmod 711 "$FOLDER"  # for nginx's workers
  chown -R www-data "$FOLDER/tokens"
  export PKCS11_OPENSSL_CONF=$FOLDER/openssl.cnf
}

main() {
  local pkcs11=()
  build
  if apt-cache show pkcs11-provider >/dev/null 2>&1; then
    install_packages pkcs11-provider softhsm2 opensc
    make_token
    pkcs11=(--pkcs11)
  else
    echo "no pkcs11-provider in this Debian: measured without it"
  fi
  "$BUILD/bin/bench_verify"
  OPENSSL_CONF=${PKCS11_OPENSSL_CONF:-/etc/ssl/openssl.cnf} "$BUILD/bin/bench_sign" --alone --vhsmd "${pkcs11[@]}" "$@"
  if [ "$(id -u)" = 0 ]; then
    "$BUILD/bin/bench_handshake" --gtest_brief=1
  else
    echo "handshakes are measured by root only: nginx gives up root"
  fi
}

main "$@"
