#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs sixcall-driver over a connector: every operation prints one line of JSON
# per round with the promised fields, and every mistake has a text and a code.
#
#   driver_test.sh DRIVER CONNECTOR
set -uo pipefail

driver=$1 connector=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
  echo "FAIL: $*" >&2
  failures=$((failures + 1))
}

number='[0-9]+(\.[0-9]+)?'
fields="\"batch\":[0-9]+,\"value_bytes\":[0-9]+,\"depth\":[0-9]+,\"ops_per_s\":$number,\"keys_per_s\":$number,"
fields+="\"p50_us\":$number,\"p99_us\":$number,\"p999_us\":$number,\"gb_per_s\":$number,\"cpu_us_per_op\":$number"

# works LINES OP ARGUMENT...: the lines of a good run.
works() {
  local lines=$1 op=$2
  shift 2
  if ! "$driver" --lib "$connector" --op "$op" --seconds 0.05 "$@" >"$work/out" 2>"$work/err"; then
    fail "$op $*: $(cat "$work/err")"
    return
  fi
  [ ! -s "$work/err" ] || fail "$op $*: says $(cat "$work/err")"
  [ "$(grep -Ecx "\{\"op\":\"$op\",$fields\}" "$work/out")" = "$lines" ] || fail "$op $*: printed $(cat "$work/out")"
  [ "$(wc -l <"$work/out")" = "$lines" ] || fail "$op $*: printed $(wc -l <"$work/out") lines, want $lines"
  grep -q '"ops_per_s":0\.0' "$work/out" && fail "$op $*: did nothing"
}

# refused CODE TEXT ARGUMENT...: the exit code and a part of the message.
refused() {
  local code=$1 text=$2 got
  shift 2
  "$driver" "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ "$got" = "$code" ] || fail "$*: exit code $got, want $code"
  grep -qF -- "$text" "$work/err" || fail "$*: said \"$(cat "$work/err")\", want \"$text\""
  [ ! -s "$work/out" ] || fail "$*: printed $(cat "$work/out")"
}

works 1 lookup
works 2 lookup --batch 256 --depth 32 --rounds 2 --cpu 0
works 1 load --batch 4 --depth 8 --value-bytes 4096 --params '{"workers":2}'
works 1 load --batch 3 --value-bytes 1 --keys 7
works 1 load --value-bytes 1048576 --keys 16
works 1 store --batch 16 --depth 2 --value-bytes=65536
works 1 lookup --depth 64 --params '{"max_inflight":3}' # more than the connector takes at a time

"$driver" --help | grep -q '^usage: sixcall-driver' || fail "--help"
refused 2 '--lib is missing'
refused 2 'unknown option "--libs"' --libs x
refused 2 '--op is "scan", want lookup, load or store' --lib x --op scan
refused 2 '--batch is "0", want a whole number' --lib x --batch 0
refused 2 '--depth is "-1", want a whole number' --lib x --depth -1
refused 2 '--seconds is "soon"' --lib x --seconds soon
refused 2 '--cpu is "x"' --lib x --cpu 0,x
refused 2 '--keys is 3, want at least --batch times --depth = 4' --lib x --batch 4 --keys 3
refused 2 '--batch needs a value' --lib x --batch
refused 2 'unexpected argument "more"' --lib x more
refused 1 'No such file' --lib "$work/absent.so"
refused 1 'invalid ELF header' --lib "$0"
refused 1 'open: CONFIG (-11): unknown config key "wrokers"' --lib "$connector" --params '{"wrokers":1}'
refused 1 'want 1, hit; is the working set' --lib "$connector" --op load --params '{"capacity_bytes":4096}'

[ "$failures" = 0 ] || exit 1
echo "passed"
