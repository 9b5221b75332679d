#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# campaign.sh [CAMPAIGN...]: what is too long for each change. Without arguments all of them run:
#   reloads   nginx and HAProxy, RSA and EC: 200 reloads each under constant load (4 minutes)
#   bench     signatures and handshakes against a file key (5 minutes)
#   hosts     the module in the OpenSSL of other Debian releases, 4.0 among them (5 minutes; root, network)
#   crash     VHSM_KILL_POINTS (2000) points at which a change of a sealed folder's keys or copies is killed, 5 times
#             as many power losses (7 minutes)
#   fuzz      each fuzzer for FUZZ_MINUTES (10)
# The last results stand in docs/campaign.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

readonly CAMPAIGNS=(reloads bench hosts crash fuzz)
readonly RELOADS=${RELOADS:-200}

build() {
  local log
  log=$(mktemp)
  # shellcheck disable=SC2086  # lists of words
  install_packages $BUILD_PACKAGES $TEST_PACKAGES
  { cmake --preset release && cmake --build --preset release --target servers_test vhsm vhsm-kbs vhsm-snp-emulator; } >"$log" 2>&1 ||
    { tail -n 40 "$log" >&2; return 1; }
  rm -f "$log"
}

campaign_reloads() {
  build
  local report status=0
  report=$(mktemp)
  VHSM_RELOADS=$RELOADS timeout 3600 build/release/bin/servers_test --gtest_brief=1 \
    --gtest_filter='*ReloadsUnderLoad*' --gtest_output="json:$report" || status=$?
  echo "$RELOADS reloads each; handshakes while they ran; the master's resident KiB after 20 and at the end:"
  grep -E '"(value_param|name|visits|failures_seen|early_kib|late_kib)"' "$report" |
    sed -nE 's/^ *"(value_param|visits|early_kib|late_kib)": "?([^",]*)"?,?$/\1 \2/p' |
    awk '$1 == "value_param" {name = $2} {is[$1] = $2}
         $1 == "late_kib" {printf "%-12s %7d handshakes   %6d KiB -> %6d KiB (%+.1f %%)\n", name,
           is["visits"], is["early_kib"], $2, ($2 / is["early_kib"] - 1) * 100}'
  rm -f "$report"
  return $status
}

campaign_bench() { scripts/bench.sh; }

campaign_hosts() {
  build
  install_packages debootstrap
  # shellcheck disable=SC2086  # a list of words
  as_root scripts/hosts.sh ${HOSTS:-trixie sid experimental}
}

campaign_crash() {
  build
  cmake --build --preset release --target crash_test >/dev/null
  VHSM_KILL_POINTS=${VHSM_KILL_POINTS:-2000} timeout 3600 build/release/bin/crash_test --gtest_brief=1
}

campaign_fuzz() { FUZZ_SECONDS=$((${FUZZ_MINUTES:-10} * 60)) scripts/test.sh packages fuzz; }

main() {
  local wanted=("$@") campaign
  [ ${#wanted[@]} = 0 ] && wanted=("${CAMPAIGNS[@]}")
  for campaign in "${wanted[@]}"; do
    declare -F "campaign_$campaign" >/dev/null ||
      { echo "campaign.sh: no campaign $campaign; there are: ${CAMPAIGNS[*]}" >&2; exit 2; }
  done
  for campaign in "${wanted[@]}"; do
    echo "== $campaign"
    "campaign_$campaign"
  done
}

main "$@"
