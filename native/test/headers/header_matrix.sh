#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Compiles the C header, current and frozen, in every standard it promises, with
# every compiler that is installed, and links a minimal connector in each. Checks
# that the connector exports one symbol and that its ELF note says what the table
# says.
#
#   header_matrix.sh [INCLUDE_DIR]      default native/include of this tree
#
# Exit code 0: all passed; 1: what failed is on stderr.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
include=${1:-$here/../../include}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

headers=(sixcall/connector.h sixcall/connector_v1.h)
c_standards=(c11 c17)
cxx_standards=(c++11 c++17 c++20)
warnings=(-Wall -Wextra -Wpedantic -Wpadded -Wshadow -Wundef -Werror)
entry=sixcall_connector_entry_v1
checks=0
failures=0

fail() {
  echo "FAIL: $*" >&2
  failures=$((failures + 1))
}

# run WHAT COMMAND...: one check; prints the output of the command if it fails.
run() {
  local what=$1
  shift
  checks=$((checks + 1))
  if ! "$@" >"$work/log" 2>&1; then
    fail "$what"
    sed 's/^/  /' "$work/log" >&2
    return 1
  fi
}

# exported LIBRARY: the names of the defined dynamic symbols, sorted.
exported() {
  nm -D --defined-only "$1" | awk '{ print $NF }' | LC_ALL=C sort | tr '\n' ' '
}

check_exports() {
  local what=$1 library=$2 names
  checks=$((checks + 1))
  names=$(exported "$library")
  [ "$names" = "$entry " ] || fail "$what: exports \"$names\", want only $entry"
}

# note_bytes LIBRARY: .note.sixcall as one string of hex bytes.
note_bytes() {
  objcopy --dump-section ".note.sixcall=$work/note" "$1" /dev/null
  od -An -v -tx1 "$work/note" | tr -d ' \n'
}

# text TEXT WIDTH: TEXT as hex bytes, NUL-padded.
text() {
  local hex
  hex=$(printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n')
  printf "%-$(($2 * 2))s" "$hex" | tr ' ' 0
}

# namesz 8, descsz 112, type 1, name; major 1, minor 0, table of 200 bytes, caps
# bits 0 and 16; vendor, product, version.
want_note=080000007000000001000000$(text sixcall 8)01000000c80000000100010000000000
want_note+=$(text Sixcall 32)$(text minimal 32)$(text 0.0.1 32)

check_note() {
  local what=$1 library=$2
  checks=$((checks + 3))
  # As any tool sees it: an owner and the size of the description.
  readelf -nW "$library" 2>"$work/log" | grep -Eq '^ +sixcall +0x0*70\b' ||
    fail "$what: readelf -n does not show the note of 0x70 bytes"
  [ ! -s "$work/log" ] || fail "$what: readelf -n complains: $(head -1 "$work/log")"
  # Mapped read-only and found through a PT_NOTE segment, as a loader would.
  readelf -SW "$library" | grep -Eq '\.note\.sixcall +NOTE .* 0*84 00 +A ' ||
    fail "$what: .note.sixcall is not a read-only note section of 0x84 bytes"
  readelf -lW "$library" | grep -Eq '^ +[0-9]+ .*\.note\.sixcall' || fail "$what: no segment holds .note.sixcall"
  [ "$(note_bytes "$library")" = "$want_note" ] ||
    fail "$what: the note is $(note_bytes "$library"), want $want_note"
}

# compile_alone COMPILER LANGUAGE STANDARD HEADER: the header and nothing else, twice.
compile_alone() {
  printf '#include "%s"\n#include "%s"\n' "$4" "$4" >"$work/alone.c"
  # Both names of one ABI in one translation unit, in both orders.
  printf '#include "%s"\n#include "%s"\n' "${headers[0]}" "${headers[1]}" >>"$work/alone.c"
  "$1" -x "$2" -std="$3" "${warnings[@]}" -fno-exceptions -I "$include" -fsyntax-only "$work/alone.c"
}

# link_connector COMPILER LANGUAGE STANDARD HEADER OUT [FLAG...]
link_connector() {
  local compiler=$1 language=$2 standard=$3 header=$4 out=$5
  shift 5
  "$compiler" -x "$language" -std="$standard" "${warnings[@]}" -fno-exceptions -fPIC -fvisibility=hidden \
    -I "$include" "-DSIXCALL_TEST_HEADER=\"$header\"" "$here/minimal.c" -x none -shared -o "$out" \
    -Wl,--no-undefined "-Wl,--version-script=$here/entry.map" "$@"
}

matrix() {
  local compiler=$1 language=$2 header=$3 standard what
  shift 3
  for standard in "$@"; do
    what="$compiler -std=$standard $header"
    run "$what: compile alone" compile_alone "$compiler" "$language" "$standard" "$header" || continue
    run "$what: link a connector" link_connector "$compiler" "$language" "$standard" "$header" "$work/minimal.so" ||
      continue
    check_exports "$what" "$work/minimal.so"
    check_note "$what" "$work/minimal.so"
  done
}

for tool in nm readelf objcopy od; do
  command -v "$tool" >/dev/null || { echo "FAIL: $tool is not installed" >&2; exit 1; }
done

compilers=0
for pair in gcc:g++ clang:clang++; do
  cc=${pair%:*} cxx=${pair#*:}
  if ! command -v "$cc" >/dev/null || ! command -v "$cxx" >/dev/null; then
    echo "skipped: $cc is not installed"
    continue
  fi
  compilers=$((compilers + 1))
  for header in "${headers[@]}"; do
    matrix "$cc" c "$header" "${c_standards[@]}"
    matrix "$cxx" c++ "$header" "${cxx_standards[@]}"
  done

  # What release builds add must not lose the note or the entry point.
  for flags in "-O2 -ffunction-sections -fdata-sections -Wl,--gc-sections" "-O2 -s -Wl,-z,now -Wl,-z,relro" "-O2 -g3"; do
    # shellcheck disable=SC2086
    if run "$cc $flags: link a connector" link_connector "$cc" c c17 "${headers[0]}" "$work/flags.so" $flags; then
      check_exports "$cc $flags" "$work/flags.so"
      check_note "$cc $flags" "$work/flags.so"
    fi
  done
  # The slots are named like functions of libc, which may be macros or checked.
  printf '#include <fcntl.h>\n#include <unistd.h>\n#include "%s"\n' "${headers[0]}" >"$work/libc.c"
  run "$cc: after fcntl.h and unistd.h" "$cc" -std=gnu17 "${warnings[@]}" -O2 -D_FILE_OFFSET_BITS=64 \
    -D_FORTIFY_SOURCE=2 -I "$include" -fsyntax-only "$work/libc.c" || true
done
[ "$compilers" -gt 0 ] || fail "neither gcc nor clang is installed"

# The checks themselves must be able to fail: without the version script the
# helper leaks, and with another product the note differs.
cc=$(command -v gcc || command -v clang)
"$cc" -fPIC -shared -fvisibility=hidden -I "$include" "-DSIXCALL_TEST_HEADER=\"${headers[0]}\"" \
  "$here/minimal.c" -o "$work/leak.so"
[ "$(exported "$work/leak.so")" = "minimal_leak $entry " ] || fail "a leaked symbol is not noticed"
sed 's/"minimal", "0.0.1");/"another", "0.0.1");/' "$here/minimal.c" >"$work/another.c"
"$cc" -fPIC -shared -fvisibility=hidden -I "$include" "-DSIXCALL_TEST_HEADER=\"${headers[0]}\"" \
  "$work/another.c" -o "$work/another.so"
[ "$(note_bytes "$work/another.so")" != "$want_note" ] || fail "a wrong note is not noticed"

if [ "$failures" -gt 0 ]; then
  echo "$failures of $checks checks failed" >&2
  exit 1
fi
echo "$checks checks passed with $compilers compilers"
