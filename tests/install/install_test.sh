#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs a build into a folder of its own, builds a plugin outside the repository against it with the
# commands of the plugin's README, trains it, then moves the installation and does it again.
#
#   install_test.sh SOURCE_DIR BUILD_DIR TINY_EASY_VQA CMAKE

set -euo pipefail

# shellcheck source=tests/install/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
  # Its header would take longer to precompile than to read once.
  run readme_configure "$cmake" -B build -DCMAKE_PREFIX_PATH="$prefix" -DPERGOLA_PLUGIN_PCH=OFF
  run readme_build "$cmake" --build build
  run readme_check "$prefix/bin/pergola" plugins check build/tiny_vqa.so
  run readme_train "$prefix/bin/pergola" train tiny_vqa.toml --plugin-path build training.num_threads=1
  expect readme_train 'status finished'
}

# The same plugin, of the same object, but linked with the SDK of one ABI version before: it is refused
# with the table and the command that rebuilds it.
older_plugin() {
  local older=$work/older abi status=0
  abi=$(sed -n 's/^#define PERGOLA_ABI_VERSION //p' "$prefix/include/pergola/version.h")
  cp -r "$prefix" "$older"
  sed -i "s/^#define PERGOLA_ABI_VERSION .*/#define PERGOLA_ABI_VERSION $((abi - 1))/" "$older/include/pergola/version.h"
  mkdir "$work/older_model" && cd "$work/older_model"
  cp "$work/my_model/plugin.toml" .
  cp "$work/my_model/build/CMakeFiles/my_model.dir/my_model.cpp.o" .
  sed 's/my_model.cpp/my_model.cpp.o/' "$work/my_model/CMakeLists.txt" >CMakeLists.txt
  run older_configure "$cmake" -B build -DCMAKE_PREFIX_PATH="$older" -DPERGOLA_PLUGIN_PCH=OFF -DBUILD_TESTING=OFF
  run older_build "$cmake" --build build
  [[ ! -e build/my_model_contract_test ]] || fail 'BUILD_TESTING=OFF makes a test'
  "$prefix/bin/pergola" train ../my_model/my_model.toml --plugin-path build --run-dir "$work/older_run" \
    >"$work/older.log" 2>&1 || status=$?
  ((status == 3)) || fail "a plugin of an older SDK ends with $status, expected 3: $(cat "$work/older.log")"
  grep -qE "sdk_abi +$abi +$((abi - 1)) " "$work/older.log" || fail "no table with sdk_abi $abi and $((abi - 1)): $(cat "$work/older.log")"
  [[ ! -e $work/older_run/checkpoints ]] || fail 'a plugin of an older SDK was trained'
  run older_cure bash -c "$(grep -o 'cmake -B build -DPergola_DIR=.* && cmake --build build' "$work/older.log")"
  run older_cured "$prefix/bin/pergola" plugins check build/my_model.so --only build
}

# The bad-plugin kit is built outside of the repository, and all that is in the folder of its files is
# refused; of its plugins, the one that compiles in no time. In the folder of my_model.
bad_plugin_kit() {
  local kit=$prefix/share/pergola/bad_plugins
  run kit_configure "$cmake" -S "$kit" -B "$work/kit" -DCMAKE_PREFIX_PATH="$prefix"
  run kit_build "$cmake" --build "$work/kit" --target crashes_on_load
  run kit_files "$kit/make_bad_files.sh" build/my_model.so "$work/kit/files"
  rm -f "$work/kit/files/unreadable.so" # which root reads
  run kit_list "$prefix/bin/pergola" plugins list --plugin-path "$work/kit/files" \
    --plugin-path "$work/kit/plugins/crashes_on_load"
  expect kit_list 'crashed with SIGSEGV (signal 11) while it was loaded'
  expect kit_list "$work/kit/files/fifo.so is not a regular file"
  if grep -F $'\tok\t'"$work/kit/" "$work/kit_list.log"; then fail 'not all of the bad-plugin kit is refused'; fi
}

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

# A plugin of one's own, as its README says, but for the precompiled header: guide_test has that.
run new_plugin "$prefix/bin/pergola-new-plugin" my_model "$work/my_model"
cd "$work/my_model"
grep -qF -- "-DCMAKE_PREFIX_PATH=$prefix " README.md || fail "the plugin's README does not say $prefix: $(cat README.md)"
run configure "$cmake" -B build -DCMAKE_PREFIX_PATH="$prefix" -DPERGOLA_PLUGIN_PCH=OFF
run build "$cmake" --build build
if grep -rIlF "$source_dir" build; then fail "the plugin was built with the repository's files"; fi
run check_exports "$source_dir/tools/check_exports" build/my_model.so
run inspect "$prefix/bin/pergola" plugins inspect build/my_model.so
expect inspect '[model_config.my_model]'
run check "$prefix/bin/pergola" plugins check build/my_model.so
expect check '  passed   gradients'
train_with "$prefix" first
bad_plugin_kit
older_plugin
readme_plugin

# Names of what is installed are taken.
if "$prefix/bin/pergola-new-plugin" late_fusion "$work/taken" >"$work/taken.log" 2>&1; then fail 'late_fusion is made twice'; fi
expect taken "NAME is 'late_fusion', a model that comes with Pergola"

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
