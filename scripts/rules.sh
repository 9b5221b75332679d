#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# rules.sh: what a grep can tell of the house style: one-way includes, no exceptions, one door to C.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
# forbid WHAT PATTERN PATH...: no line of the paths matches.
forbid() {
  local what=$1 pattern=$2
  shift 2
  if git grep -nE "$pattern" -- "$@"; then
    echo "rule broken: $what" >&2
    failed=1
  fi
}
# may_include FOLDER ALLOWED...: FOLDER includes only itself and ALLOWED of our folders.
may_include() {
  local folder=$1
  shift
  local allowed
  allowed=$(IFS='|'; echo "$folder|${*:-$folder}")
  if git grep -nE '^#include "' -- "$folder/*.h" "$folder/*.cc" | grep -vE "#include \"($allowed)/"; then
    echo "rule broken: $folder includes only: $allowed" >&2
    failed=1
  fi
}

may_include base
may_include memory base
may_include snp base memory
may_include jose base memory
may_include keystore base memory snp jose
may_include keystore/sealed base memory keystore
may_include keystore/daemon base memory keystore
may_include evidence base memory snp jose keystore
may_include nitride base memory snp jose keystore
may_include provider base memory keystore
may_include kbs base memory snp jose keystore evidence
may_include vhsmd base memory keystore module snp

readonly SOURCES=('base/*' 'memory/*' 'snp/*' 'jose/*' 'keystore/*' 'evidence/*' 'nitride/*' 'provider/*' 'module/*' 'kbs/*' 'cli/*' 'vhsmd/*')
forbid 'errors are values' '\bthrow\b *[^a-z ]' "${SOURCES[@]}"
forbid 'no goto' '\bgoto [a-z]' "${SOURCES[@]}"
forbid 'VHSM_TRY stands alone or behind =' '([(,?:*{]|return) *VHSM_TRY\(' "${SOURCES[@]}" ':!base/result.h'
forbid 'dispatch numbers are the provider'"'"'s business' 'core_dispatch\.h' 'base/*' 'memory/*' 'snp/*' 'jose/*' 'evidence/*' 'nitride/*' 'kbs/*' 'cli/*'
forbid 'one cast to a function type' 'reinterpret_cast<[^>]*\(\*?\)\(' 'base/*' 'memory/*' 'snp/*' 'jose/*' 'keystore/*' 'evidence/*' 'nitride/*' 'module/*' 'kbs/*' 'provider/*' ':!provider/ossl/dispatch.h'
forbid 'the provider prints nothing' 'std::(cout|cerr)|[^nf]printf\(|\bputs\(' 'base/*' 'memory/*' 'snp/*.cc' 'jose/*' 'keystore/*' 'evidence/*' 'nitride/*' 'provider/*' 'module/*' ':!snp/tools/*'
forbid 'nothing unfinished' '\b(TODO|FIXME|XXX)\b' "${SOURCES[@]}" 'tests/*' 'bench/*' 'scripts/*' ':!scripts/rules.sh'

missing=$(git ls-files '*.cc' '*.h' '*.S' | xargs grep -L 'SPDX-License-Identifier: Apache-2.0' || true)
if [ -n "$missing" ]; then echo "no SPDX line: $missing" >&2; failed=1; fi

if command -v clang-format-14 >/dev/null; then
  git ls-files '*.cc' '*.h' | xargs clang-format-14 --dry-run -Werror || failed=1
else
  echo "skipped: no clang-format 14 here (Debian 12 has it)"
fi
exit $failed
