# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What the tests of an installed Pergola share. Sourced with the arguments of the test:
#
#   SOURCE_DIR BUILD_DIR TINY_EASY_VQA CMAKE
#
# Installs the build into $prefix, makes a tiny data set, and leaves the rest to the test.

# shellcheck disable=SC2034 # used by who sources this
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

# blocks LANGUAGE FILE: the fenced blocks of a page as block_1.inc, block_2.inc, ... in this folder.
blocks() {
  awk -v fence="\`\`\`$1" '
    $0 == fence { inside = 1; file = "block_" ++count ".inc"; printf "" >file; next }
    inside && /^```/ { inside = 0; close(file) }
    inside { print >file }' "$2"
}

# Nothing of the repository or its environment may help.
unset PERGOLA_PLUGIN_PATH PERGOLA_LIBTORCH LD_LIBRARY_PATH
export PERGOLA_DATA_DIR=$work/data
"$tiny_easy_vqa" "$PERGOLA_DATA_DIR/easy_vqa"
prefix=$work/prefix
run install "$cmake" --install "$build_dir" --prefix "$prefix"
