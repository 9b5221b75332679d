#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test.sh [STAGE...]: from a fresh Debian 12 or 13 to all tests passed. Without arguments all stages
# run, in this order; each prints its seconds. CI and desk use the same script.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

readonly STAGES=(packages rules build test guest boot valgrind asan tsan fuzz)
readonly FUZZ_SECONDS=${FUZZ_SECONDS:-20}
export GTEST_COLOR=no CTEST_OUTPUT_ON_FAILURE=1

stage_packages() {
  # shellcheck disable=SC2086,SC2046  # lists of words
  install_packages $BUILD_PACKAGES $TEST_PACKAGES $GUEST_PACKAGES
  # shellcheck disable=SC2046
  install_packages $(lint_packages) $(newer_packages)
  measure_tool
}

# A third opinion on launch digests; where PyPI cannot be reached, its test is skipped.
measure_tool() {
  [ ! -x build/tools/bin/sev-snp-measure ] || return 0
  { python3 -m venv build/tools && timeout 120 build/tools/bin/pip install --retries 1 sev-snp-measure==0.0.13; } >/dev/null 2>&1 ||
    echo "skipped: sev-snp-measure cannot be installed"
}

# The formatter and the fuzzers need LLVM 14, which Debian 13 does not have.
lint_packages() {
  if apt-cache show clang-14 >/dev/null 2>&1 || command -v clang++-14 >/dev/null; then
    echo clang-14 clang-format-14 libclang-rt-14-dev
  fi
}

stage_rules() { scripts/rules.sh; }

# quietly COMMAND...: prints what it says only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if [ $status != 0 ]; then tail -n 80 "$log"; fi
  rm -f "$log"
  return $status
}

# skips_named COMMAND...: as quietly, and of a test program that passes it names what was skipped.
skips_named() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  if [ $status != 0 ]; then
    tail -n 80 "$log"
  else
    awk '/: Skipped/ {getline; print "skipped: " $0}' "$log"
  fi
  rm -f "$log"
  return $status
}

# Warnings are errors for the compilers that the code is kept clean for: newer ones find new ones,
# and g++'s sanitizers make it see uninitialised values in libraries.
werror() {
  case $1-$(g++ -dumpversion) in
    release-12 | fuzz-*) echo ON ;;
    *) echo OFF ;;
  esac
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  quietly cmake --preset "$preset" -DVHSM_WERROR="$(werror "$preset")"
  quietly cmake --build --preset "$preset" -- "$@"
}

stage_build() { build release; }

# Prints the skipped tests with their reasons, and keeps CTest's closing lines last.
run_tests() {
  local folder=$1 log status=0
  shift
  log=$(mktemp)
  # One more than there are cores: many tests wait for a server.
  ctest --test-dir "$folder" --no-tests=error "-j$(($(nproc) + 1))" "$@" >"$log" 2>&1 || status=$?
  if [ $status != 0 ]; then cat "$log"; fi
  awk '/ Test: / {sub(/^[0-9]*\/[0-9]* Test: /, ""); name = $0}
       /: Skipped$/ {getline reason; print "skipped: " name ": " reason; ++count}
       END {if (count) print count " skipped"}' \
    "$folder/Testing/Temporary/LastTest.log"
  grep -E 'tests passed|Total Test time' "$log" || true
  rm -f "$log"
  return $status
}

stage_test() { run_tests build/release; }

# Whether guest.sh has what it needs; says so if not.
guests_can_be_had() {
  command -v qemu-system-x86_64 >/dev/null && command -v busybox >/dev/null && apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 && return
  echo "skipped: no qemu, no busybox or no package of Debian's kernel here"
  return 1
}

# each OPTION VALUE...: prints the option before each value, in lines.
each() {
  local option=$1 value
  shift
  for value in "$@"; do printf '%s\n' "$option" "$value"; done
}

readonly LUKS_MODULES=(dm-crypt loop xts ecb)

# Protected memory behind a protection key, on an emulated CPU that has them and with Debian's kernel.
# Secret memory is slow there: what does things by the thousand stays out.
stage_guest() {
  guests_can_be_had || return 0
  local form
  for form in secret locked; do
    in_guest "$form" protection_key_test '*'
    in_guest "$form" memory_limit_test '*'
    in_guest "$form" memory_test '-*Thousand*:*LongWork*:*WhileAllStacks*:*ThreadsThatEnd*'
  done
  in_guest secret keystore_test 'OperationTest.SignsWhat*:GeneratorTest.*:OperationTest.ManyThreads*:ShelfTest.AChild*'
  in_guest secret provider_test '-*Generation*:*Rsa*:*RSA*:*Hundreds*:*ManyKeys*:Storeutl*:*brainpool*:*secp*:*P224:*P384*:*P521*' \
    --with build/release/lib --env OPENSSL_CONF=/dev/null
  volumes_in_guest
}

# LUKS volumes, opened with secrets of a folder and of a KBS, with the keys in the process and in vhsmd.
volumes_in_guest() {
  local options
  mapfile -t options < <(each --module "${LUKS_MODULES[@]}"
    each --with build/release/{bin/{vhsm,vhsmd,vhsm-kbs},tests/world/emulator} /sbin/{cryptsetup,mke2fs})
  in_guest secret secret_flow_test 'VolumeTest.*' "${options[@]}"
  in_guest locked secret_flow_test 'VolumeTest.*' "${options[@]}" --env VHSM_TEST_KEYSTORE=unix
}

# in_guest FORM PROGRAM FILTER [OPTION OF guest.sh...]
# An emulated machine that does not come to an end tells where it was, and is started once more.
in_guest() {
  local status=0
  guest_tests "$@" || status=$?
  if [ $status = 124 ]; then
    echo "NOT DONE IN TIME (see above), once more: $2 ($1 memory)"
    status=0
    guest_tests "$@" || status=$?
  fi
  [ $status = 0 ] || return $status
  echo "$2 ($1 memory) passed behind a protection key"
}

guest_tests() {
  skips_named scripts/guest.sh --env "VHSM_MEMORY=$1" "${@:4}" "build/release/bin/$2" "--gtest_filter=$3"
}

# systemd as the first process of the emulated machine: the units, vhsmd, and a volume that waits for its KBS.
stage_boot() {
  guests_can_be_had || return 0
  local root options
  root=$(mktemp -d)
  # shellcheck disable=SC2064  # this root
  trap "rm -rf '$root'" EXIT
  boot_files "$root"
  mapfile -t options < <(each --module "${LUKS_MODULES[@]}"
    # shellcheck disable=SC2046  # a list of words
    each --package systemd libkmod2 udev dmsetup cryptsetup-bin $(newer_packages | grep systemd)
    each --with /sbin/mke2fs /usr/bin/openssl)
  scripts/guest.sh --timeout 600 --cpu max,-pku --systemd /lib/systemd/systemd --root "$root" "${options[@]}" tests/boot/boot.sh
}

# boot_files ROOT: the project as it is installed, and what a site adds.
boot_files() {
  DESTDIR=$1 quietly cmake --install build/release --prefix /usr --strip
  cp -r tests/boot/root/. "$1"
  cp -r build/release/tests/world/emulator "$1/etc/vhsm/snp"
  chmod -R a+rX "$1/etc/vhsm"
  quietly systemctl --root="$1" enable vhsmd.service vhsm-secrets.socket vhsm-ticket-keys.timer \
    "vhsm-fetch@$(systemd-escape vhsm:default/tls/www).service" owner.service kbs.service
}

# What valgrind can follow: it lacks memfd_secret and SS_AUTODISARM, and does not return from a crash or an
# absurd allocation.
stage_valgrind() {
  under_valgrind memory_test '-*Thousand*:*LongWork*:*AForkInsideAScope*:*AThreadThatStays*:*StopsExceptions*:*StacksAreWiped*:*ThreadsThatEnd*:*IsForgotten*'
  under_valgrind keystore_test 'OperationTest.AgreesWithAPeer:OperationTest.ManyThreads*'
}

# under_valgrind PROGRAM FILTER
under_valgrind() {
  VHSM_MEMORY=locked skips_named valgrind --quiet --error-exitcode=9 --child-silent-after-fork=yes \
    "build/release/bin/$1" "--gtest_filter=$2"
  echo "$1 passed under valgrind"
}

# Tests that fork while other threads run: a sanitizer's allocator (gcc 12) has no fork handlers, so the
# child may wait for ever for a lock that a thread held. They run in the test stage.
readonly FORKS_AMONG_THREADS='ForkSigningTest|HostTest|ForksAmongThreads|AChildSigns|AChildInherits|AChildRenews|AChildBegins|AChildIsNotStuck|GivesRootUp|Flood|AnotherUser|Confined'

# What holds memory, under AddressSanitizer and UndefinedBehaviorSanitizer (the parsers run under both
# in the fuzz stage). It answers an absurd allocation and a crash in its own way: those tests stay out.
stage_asan() {
  build asan memory_test memory_limit_test keystore_test sealed_test policy_test base_test names_test vhsmd_test
  run_tests build/asan -R '^(memory|keystore|sealed|policy|base|names|vhsmd)\.' -E "$FORKS_AMONG_THREADS|ContentionTest|AForkInsideAScope|StopsExceptions|NOT_BUILT|^vhsmd\.(Daemon|app|differential|provider|rotate)"
}

# What threads share, under ThreadSanitizer. It does not follow forks, and delivers signals when it likes.
stage_tsan() {
  build tsan memory_test keystore_test vhsmd_test
  run_tests build/tsan -R '^(memory|keystore|vhsmd\.(Server|RemoteKeystore)Test)\.' -E "$FORKS_AMONG_THREADS|ContentionTest|Fork|Child|LimitTest|StopsExceptions|AForeignPointer|AsynchronousSignals|NOT_BUILT"
}

stage_fuzz() {
  if ! command -v clang++-14 >/dev/null; then
    echo "skipped: no clang 14 here (Debian 12 has it)"
    return
  fi
  build fuzz
  export -f fuzz_one
  export FUZZ_SECONDS
  printf '%s\n' build/fuzz/fuzz/*_fuzz | xargs -P 2 -n 1 bash -c 'fuzz_one "$1"' bash
}

# fuzz_one PROGRAM: prints how many inputs it took, or what it found.
fuzz_one() {
  local name corpus
  name=$(basename "$1" _fuzz)
  corpus=$(mktemp -d)
  [ -d "tests/fuzz/corpus/$name" ] && cp -r "tests/fuzz/corpus/$name/." "$corpus/"
  if ! "$1" -max_total_time="$FUZZ_SECONDS" -max_len=65536 -verbosity=1 -print_final_stats=1 \
      -artifact_prefix="$corpus/" "$corpus" >"$corpus.log" 2>&1; then
    echo "$name: FOUND"
    tail -n 60 "$corpus.log"
    return 1
  fi
  echo "$name: $(awk '/number_of_executed_units/ {print $2}' "$corpus.log") inputs, no finding"
  rm -rf "$corpus" "$corpus.log"
}

main() {
  local wanted=("$@") stage start status total=$SECONDS
  [ ${#wanted[@]} = 0 ] && wanted=("${STAGES[@]}")
  for stage in "${wanted[@]}"; do
    declare -F "stage_$stage" >/dev/null || { echo "test.sh: no stage $stage; there are: ${STAGES[*]}" >&2; exit 2; }
    echo "== $stage"
    start=$SECONDS
    # In a subshell of its own and not as a condition: there bash would ignore failures inside.
    set +e
    (set -e; "stage_$stage")
    status=$?
    set -e
    if [ $status != 0 ]; then
      echo "== $stage FAILED after $((SECONDS - start)) s" >&2
      exit 1
    fi
    echo "== $stage: $((SECONDS - start)) s"
  done
  echo "all stages passed in $((SECONDS - total)) s"
}

main "$@"
