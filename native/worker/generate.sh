#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Writes the C++ and Go code of wire.fbs. Called by `go generate` (bridge/worker/doc.go)
# and by hand after a change of wire.fbs; the result is committed.
#
# flatc 2.0.8 is Debian's; another version writes other code, so it is refused
# instead of making a difference that nobody meant.
set -euo pipefail
cd "$(dirname "$0")/../.."

want=2.0.8
if ! command -v flatc >/dev/null; then
	echo "generate.sh: flatc is missing; apt-get install flatbuffers-compiler" >&2
	exit 1
fi
have=$(flatc --version | awk '{print $3}')
if [ "$have" != "$want" ]; then
	echo "generate.sh: flatc is version $have, want $want" >&2
	exit 1
fi

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
flatc --cpp --cpp-std c++17 -o "$made" native/worker/wire.fbs
flatc --go --gen-onefile --go-namespace wire -o "$made" native/worker/wire.fbs
# flatc leaves blank lines that gofmt does not want.
gofmt -w "$made/wire_generated.go"
install -m 0644 "$made/wire_generated.h" native/worker/wire_generated.h
install -D -m 0644 "$made/wire_generated.go" bridge/worker/wire/wire_generated.go
