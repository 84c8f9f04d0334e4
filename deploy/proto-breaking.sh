#!/usr/bin/env bash
# Compares proto/ with what was last released, or with the commit before when nothing was released yet.
set -euo pipefail
cd "$(dirname "$0")/../proto"
base=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || git rev-parse --verify -q HEAD~1 || true)
if [ -z "$base" ] || ! git cat-file -e "$base:proto/buf.yaml" 2>/dev/null; then
  echo "proto: nothing earlier to compare with"
  exit 0
fi
go run github.com/bufbuild/buf/cmd/buf@v1.60.0 breaking --against "../.git#ref=$base,subdir=proto"
