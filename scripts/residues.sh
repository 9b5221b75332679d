#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# residues.sh: runs every scan of build/release and writes the outcome into docs/residues.md, into
# the section of the OpenSSL that is installed here. Needs the tests built, gdb, nginx and HAProxy.
# BUILD names another build folder.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PAGE=docs/residues.md BUILD=${BUILD:-build/release}
readonly TESTS='^residue\.|(ServerResidue|CoreDump)Test|NothingOfAKeyIsInItsMemory'

# The lines that the tests have noted, on standard input: situation, algorithm, memory, findings
# outside protected memory, findings inside it, bytes looked at.
tables() {
  local algorithms
  algorithms=$(cut -f2 "$1" | sort -uV | tr '\n' ' ')
  awk -F'\t' -v algorithms="$algorithms" '
    function cell(s, a, m,    k) {
      k = s SUBSEP a SUBSEP m
      if (!(k in runs)) return "–"
      if (m == "file") return missed[k] ? "**MISSED**" : "found"
      return leaks[k] ? "**" leaks[k] " FOUND**" : "none"
    }
    {
      k = $1 SUBSEP $2 SUBSEP $3
      runs[k]++; leaks[k] += $4; inside[k] += $5; missed[k] += ($3 == "file" && $4 == 0)
      bytes += $6; scans++
      if (!($1 in known)) { known[$1]; order[++situations] = $1 }
      if ($3 == "locked") looked_inside[$1]
    }
    END {
      count = split(algorithms, names, " ")
      head = "| situation |"; rule = "|---|"
      for (i = 1; i <= count; i++) { head = head " " names[i] " |"; rule = rule "---|" }
      printf "%d scans, %.1f GiB looked at. Outside protected memory, in each cell: secret form / locked form / control, the same key in a file.\n\n", scans, bytes / 2^30
      print head; print rule
      for (s = 1; s <= situations; s++) {
        line = "| " order[s] " |"
        for (i = 1; i <= count; i++) {
          text = cell(order[s], names[i], "secret") " / " cell(order[s], names[i], "locked") " / " cell(order[s], names[i], "file")
          line = line " " (text == "– / – / –" ? "" : text) " |"
        }
        print line
      }
      print "\nInside protected memory, which only the locked form lets us read. A key in use is there;\none that is gone, or has not come, should not be.\n"
      print head; print rule
      for (s = 1; s <= situations; s++) {
        if (!(order[s] in looked_inside) || order[s] ~ /core/) continue
        line = "| " order[s] " |"
        for (i = 1; i <= count; i++) {
          k = order[s] SUBSEP names[i] SUBSEP "locked"
          line = line " " (k in runs ? (inside[k] ? "found" : "none") : "") " |"
        }
        print line
      }
    }' "$1"
}

# replace VERSION FILE: puts FILE between the marks of that version, which are added if need be.
replace() {
  local begin="<!-- $1: by scripts/residues.sh -->" end="<!-- $1: end -->"
  if ! grep -qF "$begin" "$PAGE"; then printf '\n### %s\n\n%s\n%s\n' "$1" "$begin" "$end" >>"$PAGE"; fi
  awk -v begin="$begin" -v end="$end" -v file="$2" '
    $0 == begin {print; while ((getline line < file) > 0) print line; skip = 1}
    $0 == end {skip = 0}
    !skip && $0 != begin' "$PAGE" >"$PAGE.new"
  mv "$PAGE.new" "$PAGE"
}

main() {
  local folder
  folder=$(mktemp -d)
  # shellcheck disable=SC2064  # now
  trap "rm -rf '$folder'" EXIT
  VHSM_RESIDUES=$folder/notes ctest --test-dir "$BUILD" -R "$TESTS" --no-tests=error -j2 \
    --output-on-failure >"$folder/log" || { tail -n 60 "$folder/log"; exit 1; }
  sort -s -k1,1 -t$'\t' "$folder/notes" >"$folder/sorted"
  tables "$folder/sorted" >"$folder/tables"
  replace "$(openssl version | cut -d' ' -f1,2)" "$folder/tables"
  tail -n 3 "$folder/log"
}

main "$@"
