#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# on_azure.sh VHSM TOOLS EMULATOR: VHSM attests where an Azure VM's tag, vTPM and tpm2-tools (TOOLS) are
# in their places, with the emulated machine in EMULATOR behind them. Exits with 77, which CTest shows as
# skipped, where no such place can be made.
set -eu
vhsm=$1 tools=$2 emulator=$3

if [ -z "${VHSM_ON_AZURE:-}" ]; then
  unshare --mount true 2>/dev/null || { echo "skipped: no mount namespaces here"; exit 77; }
  VHSM_ON_AZURE=yes exec unshare --mount sh "$0" "$@"
fi

work=$(mktemp -d)
trap 'umount "$work"; rmdir "$work"' EXIT
mount -t tmpfs none "$work"
mkdir -p "$work/bin" "$work/dev" "$work/sys/class/dmi/id"
for tool in nvdefine nvwrite nvread; do cp "$tools" "$work/bin/tpm2_$tool"; done
: >"$work/dev/tpmrm0"
echo 7783-7084-3265-9085-8269-3286-77 >"$work/sys/class/dmi/id/chassis_asset_tag"
# The tools keep what is written beside them.
mkdir "$work/overlaid"
mount -t overlay -o "lowerdir=/usr/bin,upperdir=$work/bin,workdir=$work/overlaid" overlay /usr/bin
mount -t overlay -o "lowerdir=$work/dev:/dev" overlay /dev
mount --bind "$work/sys" /sys

fail() { echo "$1"; exit 1; }
for platform in vtpm auto; do
  printf '[vhsm]\nplatform = %s\n' "$platform" >"$work/vhsm.cnf"
  "$vhsm" --config "$work/vhsm.cnf" attest --nonce 0102 --out "$work/report" || fail "$platform: no evidence"
  [ "$(sha256sum <"$work/report.claims.json" | cut -c-64)$(printf %064d 0)" = \
    "$("$vhsm" report show "$work/report" --json | sed -n 's/.*"report_data": "\(.*\)".*/\1/p')" ] ||
    fail "$platform: the report does not bind the claims"
  nonce=$(printf '\001\002' | sha512sum | cut -c-128)
  grep -qi "$nonce" "$work/report.claims.json" || fail "$platform: the claims do not bind the nonce"
  "$vhsm" report verify "$work/report" --certs "$emulator" --trust-test-root "$emulator/ark.pem" ||
    fail "$platform: not genuine"
done
"$vhsm" --config "$work/vhsm.cnf" doctor | grep "but the vTPM of an Azure VM" || fail "doctor does not say why"
