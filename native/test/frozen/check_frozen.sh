#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# connector_v1.h is the header as it was released with ABI 1.0 and is never
# edited again: its sha256 is recorded beside this script. As long as connector.h
# is at 1.0 too, both are the same bytes.
#
#   check_frozen.sh [INCLUDE_DIR]      default native/include of this tree
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
include=${1:-$here/../../include}/sixcall

if ! (cd "$include" && sha256sum --check --quiet "$here/connector_v1.sha256"); then
  echo "connector_v1.h is not the header of ABI 1.0. It must not be edited: put the change" >&2
  echo "into connector.h under a new minor version and restore connector_v1.h." >&2
  exit 1
fi
minor=$(awk '$2 == "SIXCALL_ABI_MINOR" { print $3 }' "$include/connector.h")
if [ "$minor" = 0 ] && ! cmp "$include/connector.h" "$include/connector_v1.h"; then
  echo "connector.h says ABI 1.0 and differs from the frozen header of 1.0: raise SIXCALL_ABI_MINOR." >&2
  exit 1
fi
echo "connector_v1.h is the frozen header; connector.h is at 1.$minor"
