#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# of_this_machine.sh PROGRAM: runs PROGRAM's tests of this machine's platform. Exits with 77, which CTest
# shows as skipped, where there is none.
set -eu
[ -e /dev/sev-guest ] || [ -e /sys/kernel/config/tsm/report ] || {
  echo "skipped: no SEV-SNP guest here"
  exit 77
}
exec "$1" --gtest_filter='*Here*'
