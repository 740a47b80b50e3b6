#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds a vendor's connector over connector.hpp in every C++ standard it promises
# with every compiler that is installed, with warnings as errors, and checks that
# the library exports its entry point and nothing else.
#
#   helper_matrix.sh [INCLUDE_DIR]      default native/include of this tree
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
include=${1:-$here/../../include}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wundef -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
builds=0
failures=0

build() { # COMPILER STANDARD [FLAG...]
  local cxx=$1 standard=$2
  shift 2
  builds=$((builds + 1))
  if ! "$cxx" -std="$standard" "${warnings[@]}" "$@" -fPIC -fvisibility=hidden -pthread -I "$include" \
    "$here/vendor.cpp" "$here/vendor_part.cpp" -shared -o "$work/vendor.so" \
    -Wl,--no-undefined "-Wl,--version-script=$here/../headers/entry.map" >"$work/log" 2>&1; then
    echo "FAIL: $cxx -std=$standard $*" >&2
    sed 's/^/  /' "$work/log" >&2
    failures=$((failures + 1))
    return
  fi
  local names
  names=$(nm -D --defined-only "$work/vendor.so" | awk '{ print $NF }' | tr '\n' ' ')
  if [ "$names" != "sixcall_connector_entry_v1 " ]; then
    echo "FAIL: $cxx -std=$standard $*: exports \"$names\"" >&2
    failures=$((failures + 1))
  fi
  if ! readelf -nW "$work/vendor.so" 2>/dev/null | grep -Eq '^ +sixcall +0x0*70\b'; then
    echo "FAIL: $cxx -std=$standard $*: no note" >&2
    failures=$((failures + 1))
  fi
}

for cxx in g++ clang++; do
  if ! command -v "$cxx" >/dev/null; then
    echo "skipped: $cxx is not installed"
    continue
  fi
  build "$cxx" c++17
  build "$cxx" c++20 -ffunction-sections -fdata-sections -Wl,--gc-sections
  build "$cxx" gnu++17 -DSIXCALL_TEST_FROZEN -fno-rtti
done
[ "$builds" -gt 0 ] || { echo "FAIL: no C++ compiler is installed" >&2; exit 1; }
[ "$failures" -eq 0 ] || { echo "$failures failures in $builds builds" >&2; exit 1; }
echo "$builds builds passed"
