#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs a build into a folder of its own, builds a plugin outside the repository against it with the
# commands of the plugin's README, trains it, then moves the installation and does it again.
#
#   install_test.sh SOURCE_DIR BUILD_DIR TINY_EASY_VQA CMAKE

set -euo pipefail

source_dir=$1 build_dir=$2 tiny_easy_vqa=$3 cmake=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# run NAME COMMAND...: its output goes to $work/NAME.log, and here when it fails.
run() {
  local name=$1
  shift
  if "$@" >"$work/$name.log" 2>&1; then return; fi
  cat "$work/$name.log"
  echo "FAILED: $*"
  exit 1
}

# expect NAME WORDS: the log of NAME has WORDS.
expect() { grep -qF -- "$2" "$work/$1.log" || fail "$1 does not say '$2': $(cat "$work/$1.log")"; }

# What an installed program may need: itself, LibTorch with what LibTorch needs, and the system's own.
check_libraries() {
  local others
  ldd "$1" >"$work/ldd.log"
  if grep -F 'not found' "$work/ldd.log"; then fail "$1 does not find these libraries"; fi
  others=$(sed -E 's/^[[:space:]]*([^ ]+).*/\1/; s|.*/||; s/\.so.*//' "$work/ldd.log" |
    grep -vxE 'linux-vdso|ld-linux-x86-64|lib(c|m|dl|rt|util|pthread|gcc_s|stdc\+\+)' |
    grep -vxE 'libpergola_sdk|libtorch_cpu|libc10|libgomp(-[0-9a-f]+)?|libcudart|libcupti|libnuma' || true)
  [[ -z $others ]] || fail "$1 needs more than it should:"$'\n'"$others"
}

# train_with PREFIX RUN: the plugin, with the program in PREFIX.
train_with() {
  run "$2" env -C "$work/my_model" "$1/bin/pergola" train my_model.toml --plugin-path build \
    --run-dir "$work/$2" training.max_epochs=3 training.num_threads=1
  expect "$2" 'status finished'
  expect "$2" 'updates 3' # 44 samples are one batch
  [[ -s $work/$2/checkpoints/best/model.safetensors ]] || fail "$2 has no best checkpoint"
}

# blocks LANGUAGE FILE: the fenced blocks of a page as block_1.inc, block_2.inc, ... in this folder.
blocks() {
  awk -v fence="\`\`\`$1" '
    $0 == fence { inside = 1; file = "block_" ++count ".inc"; printf "" >file; next }
    inside && /^```/ { inside = 0; close(file) }
    inside { print >file }' "$2"
}

# The plugin of the README, from its four blocks and with its commands.
readme_plugin() {
  mkdir "$work/readme" && cd "$work/readme"
  blocks cpp "$source_dir/README.md"
  mv block_1.inc tiny_vqa.cpp
  blocks cmake "$source_dir/README.md"
  mv block_1.inc CMakeLists.txt
  blocks toml "$source_dir/README.md"
  mv block_1.inc plugin.toml
  mv block_2.inc tiny_vqa.toml
  run readme_configure "$cmake" -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix"
  run readme_build "$cmake" --build build
  run readme_train "$prefix/bin/pergola" train tiny_vqa.toml --plugin-path build training.num_threads=1
  expect readme_train 'status finished'
}

# The author's guide: its first block is what tools/new_plugin writes, its plugin.toml is a good one, and
# all other code compiles. In the folder of my_model.
author_guide() {
  local guide=$source_dir/sdk/docs/authors_guide.md
  blocks cpp "$guide"
  diff <(sed '/SPDX/d' my_model.cpp) block_1.inc || fail "the guide's first block is not what tools/new_plugin writes"
  [[ -e block_10.inc && ! -e block_11.inc ]] || fail 'the guide has code that guide_fragments.cpp does not name'
  cp "$source_dir/tests/install/guide_fragments.cpp" .
  sed -i 's/SOURCES my_model.cpp/SOURCES my_model.cpp guide_fragments.cpp/' CMakeLists.txt
  mkdir toml
  (cd toml && blocks toml "$guide" && mv block_1.inc ../plugin.toml)
  run guide_build "$cmake" --build build
  run guide_train "$prefix/bin/pergola" train my_model.toml --plugin-path build --run-dir "$work/guide" \
    training.max_epochs=1 training.num_threads=1 'model_config.my_model.losses=["brier"]'
  expect guide_train 'train/easy_vqa/brier'
}

# Nothing of the repository or its environment may help.
unset PERGOLA_PLUGIN_PATH PERGOLA_LIBTORCH LD_LIBRARY_PATH
export PERGOLA_DATA_DIR=$work/data
"$tiny_easy_vqa" "$PERGOLA_DATA_DIR/easy_vqa"

prefix=$work/prefix
run install "$cmake" --install "$build_dir" --prefix "$prefix"
check_libraries "$prefix/bin/pergola"
# It is the builder's LibTorch, maybe in their home: the installer says so, and LD_LIBRARY_PATH, which
# a RUNPATH leaves the first word, names another one.
libtorch=$(readelf -d "$prefix/bin/pergola" | sed -n 's/.*(RUNPATH).*\[.*:\(.*\)\]/\1/p')
[[ -e $libtorch/libtorch_cpu.so ]] || fail "the program's RUNPATH does not end in LibTorch's folder: $libtorch"
expect install "The program uses the LibTorch in $libtorch. Who cannot read that folder names"
mkdir "$work/other"
echo 'no library' >"$work/other/libtorch_cpu.so"
if LD_LIBRARY_PATH=$work/other "$prefix/bin/pergola" --version >"$work/other.log" 2>&1; then
  fail 'LD_LIBRARY_PATH does not name another LibTorch'
fi
expect other "$work/other/libtorch_cpu.so"
for file in "$prefix/bin/pergola" "$prefix"/lib*/libpergola_sdk.so "$prefix"/lib*/pergola/plugins/*.so; do
  if readelf -d "$file" | grep -E 'R(UN)?PATH' | grep -F -e "$build_dir" -e "$prefix"; then
    fail "$file looks for libraries where it was built or installed"
  fi
done
if grep -rIF "$source_dir" "$prefix"; then fail "installed files name the repository"; fi

# A plugin of one's own, as its README says.
run new_plugin "$source_dir/tools/new_plugin" my_model "$work/my_model"
cd "$work/my_model"
run configure "$cmake" -B build -DCMAKE_PREFIX_PATH="$prefix"
run build "$cmake" --build build
if grep -rIlF "$source_dir" build; then fail "the plugin was built with the repository's files"; fi
run check_exports "$source_dir/tools/check_exports" build/my_model.so
run inspect "$prefix/bin/pergola" plugins inspect build/my_model.so
expect inspect '[model_config.my_model]'
train_with "$prefix" first
author_guide
readme_plugin

# Moved, it finds its SDK and its plugins where it is now.
mv "$prefix" "$work/moved"
run version "$work/moved/bin/pergola" --version
run list "$work/moved/bin/pergola" plugins list
for name in pythia cnn_lstm visual_bert mmbt fusions torchscript; do expect list "$(echo "$work"/moved/lib*/pergola/plugins/$name.so)"; done
run show "$work/moved/bin/pergola" config show "$work/moved/share/pergola/configs/runs/pythia_easy_vqa.toml"
train_with "$work/moved" second
cmp "$work"/{first,second}/checkpoints/best/model.safetensors || fail 'the moved program trains to other weights'

((failures == 0)) || exit 1
echo 'installed, built against and moved: all holds'
