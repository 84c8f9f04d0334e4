#!/usr/bin/env bash
# Prints each statement of conformance.txt with what its test says; fails when one has no test that passes.
set -euo pipefail
cd "$(dirname "$0")/.."
ran=$(mktemp)
trap 'rm -f "$ran"' EXIT
status=0
go test -json -count=1 -run '^TestConformance$' ./broker/gateway/... >"$ran" || status=$?
awk -v list=deploy/conformance.txt '
	match($0, /"Test":"TestConformance\/[A-Z]+-[0-9]+"/) {
		id = substr($0, RSTART + 24, RLENGTH - 25)
		if (/"Action":"pass"/ && !(id in said)) said[id] = "pass"
		if (/"Action":"(fail|skip)"/) said[id] = "FAIL"
	}
	END {
		while ((getline line < list) > 0) {
			if (line ~ /^#/) continue
			id = line; sub(/ .*/, "", id)
			what = line ~ /\[/ ? "  - " : (id in said ? said[id] : "NONE")
			if (what == "FAIL" || what == "NONE") bad++
			print what, line
			known[id] = 1
		}
		for (id in said) if (!(id in known)) { print "NONE", id, "is tested and not listed"; bad++ }
		exit bad > 0
	}' "$ran" || status=1
exit $status
