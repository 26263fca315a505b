#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tools/check_exports accepts a library that exports pergola_plugin alone and needs no CUDA, and no other.

set -euo pipefail

checker=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../tools" && pwd)/check_exports
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# build NAME SOURCE: the shared library NAME.so in the work folder.
build() {
  printf '%s\n' "$2" >"$work/$1.cpp"
  "${CXX:-c++}" -shared -fPIC -o "$work/$1.so" "$work/$1.cpp"
}

# expect STATUS WORDS FILES...
expect() {
  local output status=0
  output=$("$checker" "${@:3}" 2>&1) || status=$?
  if ((status != $1)) || [[ $output != *"$2"* ]]; then
    echo "FAILED: ${*:3}: expected status $1 and '$2', found status $status and: $output"
    failures=$((failures + 1))
  fi
}

build good 'extern "C" const int pergola_plugin; const int pergola_plugin = 1;'
build leaky 'extern "C" const int pergola_plugin; const int pergola_plugin = 1; namespace a { int leak(int x) { return x; } }'
build bare 'extern "C" const int something_else; const int something_else = 1;'
"${CXX:-c++}" -shared -fPIC -o "$work/libcudart.so.99" -Wl,-soname,libcudart.so.99 "$work/bare.cpp"
"${CXX:-c++}" -shared -fPIC -o "$work/of_cuda.so" "$work/good.cpp" -Wl,--no-as-needed "$work/libcudart.so.99"
echo 'no library' >"$work/text.so"

expect 0 'pergola_plugin is all that 1 of 1 files export' "$work/good.so"
expect 1 'a::leak(int)' "$work/good.so" "$work/leaky.so"
expect 1 'leaky.so: exports 1 symbols besides pergola_plugin' "$work/leaky.so"
expect 1 'bare.so: does not export pergola_plugin' "$work/bare.so"
expect 1 'of_cuda.so: needs libcudart.so.99, and so loads only where CUDA is' "$work/of_cuda.so"
expect 1 'text.so: cannot be read as a shared library' "$work/text.so"
expect 1 'absent.so: cannot be read as a shared library' "$work/absent.so"
expect 2 'no file was named'

((failures == 0)) || exit 1
echo "tools/check_exports: all cases hold"
