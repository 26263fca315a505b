#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Does what the steps of sdk/docs/guide/ say, in their order and with their words: takes the files out of
# the pages, runs their commands with an installed Pergola, and looks at what each step's own code did.
#
#   guide_test.sh SOURCE_DIR BUILD_DIR TINY_EASY_VQA CMAKE
#
# The first line of a block says what it is: `// FILE` or `# FILE` a whole file, `# FILE, at its end` and
# `# FILE, in [TABLE]` something to add. Blocks of sh are run; those without such a line are for reading.

set -euo pipefail
# shellcheck source=tests/install/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

guide=$source_dir/sdk/docs/guide
export PATH=$prefix/bin:$PATH
if command -v ninja >/dev/null; then export CMAKE_GENERATOR=Ninja; fi

# take_file BLOCK: does with it what its first line says.
take_file() {
  local first file
  first=$(head -n 1 "$1")
  [[ $first =~ ^(//|#)' '([A-Za-z_]+\.[a-z]+)(, at its end|, in (\[.*\]))?$ ]] || return 0
  file=${BASH_REMATCH[2]}
  case ${BASH_REMATCH[3]} in
    '') cp "$1" "$file" ;;
    ', at its end') sed '1s/.*//' "$1" >>"$file" ;;
    *)
      grep -qF "${BASH_REMATCH[4]}" "$file" || fail "$file has no ${BASH_REMATCH[4]}"
      awk -v block="$1" -v table="${BASH_REMATCH[4]}" '
        { print }
        index($0, table) == 1 { while ((getline line <block) > 0) print line }' "$file" >added
      mv added "$file"
      ;;
  esac
}

# follow PAGE: its blocks, one after the other, in the folder of the plugin. What its commands write is
# the log PAGE.
follow() {
  local page=$1 block
  mkdir "$work/$page"
  awk -v dir="$work/$page" '
    /^```[a-z]+$/ { inside = 1; file = sprintf("%s/%03d.%s", dir, ++count, substr($0, 4)); next }
    inside && /^```/ { inside = 0; close(file) }
    inside { print >file }' "$guide/$page.md"
  for block in "$work/$page"/*; do
    if [[ -d $work/my_model ]]; then cd "$work/my_model"; fi
    case $block in
      *.sh) run "$page.part" bash -euxo pipefail "$block" && cat "$work/$page.part.log" >>"$work/$page.log" ;;
      *.cpp | *.h | *.toml | *.cmake) take_file "$block" ;;
    esac
  done
  echo "$page: done after $SECONDS s"
}

# number FILE KEY: of the last line that has it.
number() { sed -n "s|.*\"$2\": *\([-0-9.eE+]*\).*|\1|p" "$1" | tail -n 1; }

# holds CONDITION: of numbers, as awk has it.
holds() { awk "BEGIN { exit !($1) }" || fail "it does not hold that $1"; }

cd "$work"
follow 1_first_model
diff "$work/1_first_model"/*.cpp my_model.cpp || fail 'the first step does not show what pergola-new-plugin writes'
expect 1_first_model 'contract.my_model.gradients'
expect 1_first_model '100% tests passed'
grep -q '"train/easy_vqa/cross_entropy"' runs/wide/metrics.jsonl || fail 'the wide model was not trained'

# What makes the next builds quick. How long one takes depends on who else is at work.
touch my_model.cpp
begin=$(date +%s%N)
run rebuild "$cmake" --build build --target my_model --verbose
echo "my_model was rebuilt in $((($(date +%s%N) - begin) / 1000000)) ms"
[[ -n $(find build -name cmake_pch.hxx.gch) ]] || fail 'there is no precompiled header'
expect rebuild 'cmake_pch.hxx -'
if grep -qF '[-Winvalid-pch]' "$work/rebuild.log"; then fail "the precompiled header was not used: $(cat "$work/rebuild.log")"; fi

follow 2_loss
expect 2_loss $'brier\t'
grep -q '"train/easy_vqa/brier"' runs/brier/metrics.jsonl || fail 'brier is not trained with'
if grep -q 'cross_entropy"' runs/brier/metrics.jsonl; then fail 'cross_entropy is trained with, too'; fi
for loss in brier cross_entropy; do
  grep -q "\"train/easy_vqa/$loss\"" runs/both/metrics.jsonl || fail "$loss is missing in runs/both"
done
sum=$(number runs/both/metrics.jsonl val/total_loss)
holds "($(number runs/both/metrics.jsonl val/easy_vqa/brier) + $(number runs/both/metrics.jsonl val/easy_vqa/cross_entropy) - $sum) ^ 2 < 1e-10"

follow 3_metric
sure=$(number runs/confidence/metrics.jsonl val/easy_vqa/confidence)
accuracy=$(number runs/confidence/metrics.jsonl val/easy_vqa/accuracy)
holds "0 < $sure && $sure < 1"
holds "($sure - $accuracy - $(number runs/confidence/metrics.jsonl val/easy_vqa/confidence/gap)) ^ 2 < 1e-10"
expect 3_metric 'val/easy_vqa/confidence/gap'
grep -q '"criteria": "val/easy_vqa/confidence/gap"' runs/confidence/summary.json || fail 'the gap did not choose the best'

follow 4_data_set
expect 4_data_set '[data] squares train: 600 samples'
holds "$(number runs/squares/metrics.jsonl val/squares/accuracy) == 1"
expect 4_data_set $'words.weight\tFloat\t[1000, 128]' # as many as word_hash says there are

follow 5_kernel
for split in val test; do
  fused=$(number runs/fused/metrics.jsonl $split/total_loss)
  holds "($fused - $(number runs/reference/metrics.jsonl $split/total_loss)) ^ 2 < 1e-10 && $fused > 0"
done
expect 5_kernel '  passed   gradients'
expect 5_kernel '  passed   bf16'

follow 6_training
# The schedule: half of 0.01 in the tenth update, all of it in the 20th.
grep -q '"lr":0.005,.*"update":10}' runs/training/metrics.jsonl || fail 'the rate of update 10 is not 0.005'
grep -q '"lr":0.01,.*"update":20}' runs/training/metrics.jsonl || fail 'the rate of update 20 is not 0.01'
for update in 20 40; do expect 6_training "[weight_norm] update $update: "; done
expect 6_training 'optimizer/words.weight/mean'
holds "$(number runs/training/metrics.jsonl val/squares/accuracy) > 0.9"

# One plugin has brought something of each kind.
for kind in models losses metrics datasets processors optimizers schedulers callbacks; do
  run "list_$kind" pergola list "$kind" --plugin-path build
  expect "list_$kind" $'\tbuild/my_model.so\t'
done

# What the author's guide shows in parts compiles, and its plugin.toml is a good one. It comes last, since
# it takes the place of the one of the steps.
blocks cpp "$source_dir/sdk/docs/authors_guide.md"
last=$(sed -n 's/#include "block_\([0-9]*\).inc"/\1/p' "$source_dir/tests/install/guide_fragments.cpp" | sort -n | tail -n 1)
[[ -e block_$last.inc && ! -e block_$((last + 1)).inc ]] || fail 'the guide has code that guide_fragments.cpp does not name'
cp "$source_dir/tests/install/guide_fragments.cpp" .
mkdir other
(cd other && blocks toml "$source_dir/sdk/docs/authors_guide.md" && cat block_1.inc block_2.inc >../plugin.toml)
sed -i 's/^target_sources.*//; $a target_sources(my_model PRIVATE brier.cpp gate.cpp guide_fragments.cpp)' CMakeLists.txt
run fragments "$cmake" --build build --target my_model
run fragments_inspect pergola plugins inspect build/my_model.so
run fragments_list pergola plugins check build/my_model.so --list

((failures == 0)) || exit 1
echo 'all steps of the guide hold'
