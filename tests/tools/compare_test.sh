#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Tests of tools/bench/compare and of the peers, which have no torch here: they are left out, and say
# so.
#
#   tests/tools/compare_test.sh BUILD_FOLDER

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=$1
compare=$root/tools/bench/compare
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

fail() {
  printf 'compare_test: %s\n' "$*" >&2
  exit 1
}

# expect_line TEXT FILE
expect_line() { grep -qF -- "$1" "$2" || fail "expected '$1' in: $(cat "$2")"; }

for script in "$compare" "$root/tools/bench/make_vqa_files" "$root"/tools/bench/peers/*.py; do
  python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$script" || fail "$script does not parse"
done

# A Python that has no packages at all.
cat >"$work/python" <<END
#!/bin/sh
exec python3 -I -S "\$@"
END
chmod +x "$work/python"
"$compare" --build "$build" --tiny --rows tiny_mlp,files --repeats 1 --python "$work/python" \
  --out "$work/out" >"$work/table" 2>"$work/log" || fail "$(cat "$work/log")"
expect_line '| tiny MLP training step, batch 64 | Pergola | ' "$work/table"
expect_line "| | pytorch | left out: $work/python has no torch | | |" "$work/table"
expect_line "| | lightning | left out: $work/python has no torch | | |" "$work/table"
expect_line ', .npy features on disk' "$work/table"
! grep -q failed "$work/table" || fail "$(cat "$work/log")"

"$compare" --table "$work/out/compare.json" >"$work/again"
cmp "$work/table" "$work/again" || fail "--table prints another table"

! grep -q loop_overhead "$work/table" || fail "a loop overhead of what was not replayed"

# Of three runs 0.004 is the median, and one that failed has none. Predictions have none.
python3 - >"$work/replayed.json" <<'END'
import json
runs = [{"step_ms": 0.101, "loop_overhead": share, "replay_ms": 0.1} for share in (0.01, 0.004, 0.002)]
row = {"date": "2026-11-30T00:00:00", "by": "step_ms", "runs": {"pergola": [*runs, {"error": "none"}]}, "skipped": {}}
predicted = {**row, "runs": {"pergola": [{"step_ms": 0.6}]}}
rows = {"tiny_mlp": row, "latency": predicted}
print(json.dumps({"machine": "a, b", "device": "cuda", "versions": {}, "rows": rows}))
END
"$compare" --table "$work/replayed.json" >"$work/replayed"
expect_line '| | a bare replay of its CUDA graphs: loop_overhead 0.40 % | 0.1 ms | | |' "$work/replayed"
test "$(grep -c loop_overhead "$work/replayed")" = 1 || fail "$(cat "$work/replayed")"

! "$compare" --rows nothing --build "$build" 2>"$work/error" || fail "a row that is none was taken"
expect_line 'no row nothing; there are visual_bert, files, tiny_mlp, pythia, latency' "$work/error"

echo '{"rows": ' >"$work/half.json"
! "$compare" --table "$work/half.json" 2>"$work/error" || fail "half a file was taken"
expect_line 'half.json is no compare.json: ' "$work/error"
! "$root/tools/bench/make_vqa_files" "$work/half.json" 2>"$work/error" || fail "files were put into a file"
expect_line 'make_vqa_files: cannot write ' "$work/error"
! grep -q Traceback "$work/error" || fail "$(cat "$work/error")"

# What is measured stays until there is something in its place, and a failure is told as it was.
! "$compare" --build "$build" --tiny --rows tiny_mlp --repeats 1 --python "$work/python" --out "$work/out" \
  --set training.batch_size=nonsense >"$work/kept" 2>"$work/error" || fail "a row without a figure is no failure"
cmp "$work/table" "$work/kept" || fail "a failed run took a row's place"
expect_line 'error: training.batch_size = "nonsense"' "$work/error"
expect_line 'tiny_mlp is not measured; what ' "$work/error"
"$compare" --build "$build" --tiny --rows files --repeats 1 --python "$work/python" --out "$work/files" \
  >"$work/table" 2>"$work/log" || fail "$(cat "$work/log")"
expect_line '; cpu (' "$work/table"
expect_line ' pergola ' "$work/table"
! "$compare" --build "$build" --repeats 0 2>"$work/error" || fail "no repeats at all were taken"
expect_line '0 is less than 1' "$work/error"
! "$compare" --build "$build" --rows latency --python false --out "$work/other" 2>"$work/error" || fail "false is no Python"
expect_line 'compare: false is no Python that runs' "$work/error"
echo '{"machine": "a", "device": "cpu", "rows": {"nothing": {}}}' >"$work/damaged.json"
! "$compare" --table "$work/damaged.json" 2>"$work/error" || fail "a damaged file was taken"
expect_line 'damaged.json is damaged' "$work/error"
! grep -q Traceback "$work/error" || fail "$(cat "$work/error")"
