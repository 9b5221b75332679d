#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# over_system_calls.sh EMULATOR FOLDER PROGRAM VMPL: runs PROGRAM's tests of this machine's platform
# below the emulator. Exits with 77, which CTest shows as skipped, where system calls cannot be answered.
set -eu
emulator=$1 folder=$2 program=$3 vmpl=$4

if ! complaint=$("$emulator" "$folder" -- true 2>&1); then
  case $complaint in
    *"lets no process answer"*) echo "skipped: $complaint"; exit 77 ;;
    *) echo "$complaint"; exit 1 ;;
  esac
fi
VHSM_TEST_MACHINE=$vmpl "$emulator" "$folder" -- "$program" --gtest_filter='*Here*'
