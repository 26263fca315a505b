#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Which names tools/new_plugin takes, and what it makes of them. tests/install builds and trains one.

set -euo pipefail

new_plugin=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../tools" && pwd)/new_plugin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
  echo "FAILED at line ${BASH_LINENO[1]}: $*"
  failures=$((failures + 1))
}

# expect_refused NAME WORDS: with status 2 and those words; nothing is made.
expect_refused() {
  local status=0 output
  output=$("$new_plugin" "$1" "$work/$1" 2>&1) || status=$?
  if ((status != 2)) || [[ $output != *"$2"* || -e $work/$1 ]]; then fail "status $status and: $output"; fi
}

# expect_class NAME CLASS: the name of the class that is made.
expect_class() {
  "$new_plugin" "$1" "$work/$1" >/dev/null
  grep -qx "class $2 final : public pergola::BaseModel {" "$work/$1/$1.cpp" ||
    fail "expected class $2, found: $(grep '^class' "$work/$1/$1.cpp")"
  grep -qx "PERGOLA_REGISTER_MODEL($2, \"$1\");" "$work/$1/$1.cpp" || fail "$2 is not registered as $1"
}

for name in MyModel my-model 9lives _a a__b; do expect_refused "$name" 'expected snake_case'; done
for name in all test edit_cache rebuild_cache; do expect_refused "$name" 'which CMake keeps'; done
# The last three are in one plugin, whose name is another one.
for name in pythia cnn_lstm concat_bert concat_bow late_fusion; do
  expect_refused "$name" "NAME is '$name', a model that comes with Pergola, and two of one name"
done

expect_class my_model MyModel
expect_class vqa_2 Vqa2
# A class of that name is in the text already, or a macro may be.
expect_class linear LinearModel
expect_class base_model BaseModelModel
expect_class embedding_bag EmbeddingBagModel
expect_class sample_list SampleListModel
expect_class e_o_f EOFModel
# A word of C++, but not as a class's name.
for name in int new template; do expect_class "$name" "${name^}"; done

# "A plugin of under 80 lines with CMake, manifest, test and README".
lines=$(cat "$work"/my_model/* | wc -l)
((lines < 80)) || fail "my_model has $lines lines"
grep -qx 'pergola_add_model_contract_test(my_model).*' "$work/my_model/CMakeLists.txt" || fail 'it has no test'

((failures == 0)) || exit 1
echo 'tools/new_plugin: all cases hold'
