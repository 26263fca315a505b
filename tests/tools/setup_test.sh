#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What tools/setup says and leaves behind when something is wrong. The commands that would change the
# machine or use the network are replaced by ones that answer as each case needs.

# shellcheck disable=SC2016  # stubs expand their own words
set -euo pipefail

setup=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../tools" && pwd)/setup
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# stub NAME BODY: a command that comes before the real one.
stub() {
  printf '#!/bin/sh\necho "%s $*" >>"%s/calls"\n%s\n' "$1" "$work" "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

# new_case: a machine with all packages and pip, an empty cache, a user who is not root and has no sudo.
new_case() {
  rm -rf "${work:?}"/*
  mkdir -p "$work/bin" "$work/cache"
  : >"$work/calls"
  stub dpkg-query 'echo installed'
  stub apt-get 'exit 0'
  stub apt-cache 'exit 1'
  stub id 'echo 1000'
  stub sudo 'exit 1'
  stub pip3 'exit 1'
  stub python3 'exit 0'
}

# make_libtorch FOLDER MAJOR MINOR PATCH
make_libtorch() {
  mkdir -p "$1/include/torch/headeronly" "$1/lib"
  printf '#define TORCH_VERSION_MAJOR %s\n#define TORCH_VERSION_MINOR %s\n#define TORCH_VERSION_PATCH %s\n' \
    "$2" "$3" "$4" >"$1/include/torch/headeronly/version.h"
  cp "$(type -P true)" "$1/lib/libtorch_cpu.so"
}

# make_easy_vqa FOLDER: as many files as the data set has, all of them empty.
make_easy_vqa() {
  mkdir -p "$1"/{train,test}/images
  touch "$1"/answers.txt "$1"/{train,test}/questions.json
  (cd "$1/train/images" && seq -f '%g.png' 0 3999 | xargs touch)
  (cd "$1/test/images" && seq -f '%g.png' 0 999 | xargs touch)
}

run_setup() {
  status=0
  output=$(env -u PERGOLA_LIBTORCH -u PERGOLA_DATA_DIR PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" \
    "${environment[@]}" "$setup" "$@" 2>&1 </dev/null) || status=$?
}
environment=(LC_ALL=C)

# expect STATUS WORDS...: the last run ended with STATUS and said all of WORDS.
expect() {
  local words
  for words in "${@:2}"; do
    if ((status != $1)) || [[ $output != *"$words"* ]]; then
      echo "FAILED at line ${BASH_LINENO[0]}: expected status $1 and '$words', found status $status and: $output"
      failures=$((failures + 1))
    fi
  done
}

# expect_calls REGEX / expect_no_calls REGEX: was such a command run?
expect_calls() {
  grep -qE "$1" "$work/calls" || {
    echo "FAILED at line ${BASH_LINENO[0]}: '$1' was not called; calls: $(cat "$work/calls")"
    failures=$((failures + 1))
  }
}
expect_no_calls() {
  if grep -qE "$1" "$work/calls"; then
    echo "FAILED at line ${BASH_LINENO[0]}: '$1' was called; calls: $(cat "$work/calls")"
    failures=$((failures + 1))
  fi
}
expect_nothing_left() {
  local left
  left=$(find "$work/cache" -mindepth 2 ! -name .setup.lock ! -name data)
  [[ -z $left ]] || {
    echo "FAILED at line ${BASH_LINENO[0]}: left behind: $left"
    failures=$((failures + 1))
  }
}

# Command line.
new_case
run_setup --cudo
expect 2 "unknown argument '--cudo'" '--help'
run_setup --data coco
expect 2 "'coco' is not a data set"
run_setup --help
expect 0 '--cuda' 'PERGOLA_LIBTORCH'

# A package is missing, and there is neither root nor sudo: named, with the command, nothing done.
new_case
stub dpkg-query 'case "$*" in *libpng-dev) exit 1 ;; *) echo installed ;; esac'
run_setup
expect 1 ' packages are missing (libpng-dev)' 'apt-get install -y --no-install-recommends libpng-dev'
expect_no_calls '^apt-get'
expect_nothing_left

# A package that was removed, but whose configuration dpkg still knows, is missing, too.
stub dpkg-query 'case "$*" in *libpng-dev) echo config-files ;; *) echo installed ;; esac'
run_setup
expect 1 'are missing (libpng-dev)'

# The same with sudo, and as root: installed, and only what is missing.
stub sudo 'while [ "$1" = -n ]; do shift; done; exec "$@"'
make_libtorch "$work/torch" 2 11 0
environment=(LC_ALL=C PERGOLA_LIBTORCH="$work/torch")
run_setup
expect 0 'installing libpng-dev'
expect_calls '^sudo -n env DEBIAN_FRONTEND=noninteractive apt-get'
expect_calls '^apt-get .*install -y --no-install-recommends libpng-dev$'
stub id 'echo 0'
stub sudo 'exit 1'
: >"$work/calls"
run_setup
expect 0 'installing libpng-dev'
expect_no_calls '^sudo'
expect_calls '^apt-get .* update'
stub apt-get 'exit 100'
run_setup
expect 1 'apt-get update failed' 'libpng-dev'

# The tools of tools/lint are missing: installed where that can be done, else named; never an error.
new_case
make_libtorch "$work/torch" 2 11 0
stub dpkg-query 'case "$*" in *shellcheck) exit 1 ;; *) echo installed ;; esac'
run_setup
expect 0 'packages: all'
expect_no_calls '^apt-get'
stub apt-cache 'exit 0'
run_setup
expect 0 'without shellcheck'
expect_no_calls '^apt-get'
stub id 'echo 0'
run_setup
expect 0 'installed shellcheck'
expect_calls '^apt-get .*install -y --no-install-recommends shellcheck$'
stub apt-get 'exit 100'
run_setup
expect 0 'without shellcheck'

# So is the browser of the tests, which nobody gets who does not ask for it, or whose distribution has none.
new_case
make_libtorch "$work/torch" 2 11 0
stub id 'echo 0'
stub dpkg-query 'case "$*" in *chromium) exit 1 ;; *) echo installed ;; esac'
run_setup --tests
expect 0 'packages: all'
expect_no_calls '^apt-get'
stub apt-cache 'exit 0'
run_setup
expect_no_calls '^apt-get'
run_setup --tests
expect 0 'packages for tests: installed chromium'
expect_calls '^apt-get .*install -y --no-install-recommends chromium$'
stub apt-get 'exit 100'
run_setup --tests
expect 0 'packages for tests: without chromium, those that need them are skipped'

# LibTorch of one's own.
new_case
make_libtorch "$work/torch" 2 11 0
run_setup
expect 0 "$work/torch (PERGOLA_LIBTORCH)"
expect_no_calls '^(python3|apt-get|sudo)'
make_libtorch "$work/torch" 2 10 1
run_setup
expect 1 'is LibTorch 2.10.1, expected 2.11.0'
rm -r "$work/torch"
run_setup
expect 1 'is not a LibTorch folder' 'PERGOLA_LIBTORCH'
environment=(LC_ALL=C)

# Downloads: no pip, no space, no network, another file than the pinned one.
new_case
stub python3 'exit 1'
run_setup
expect 1 'found no pip' 'python3-pip'
expect_nothing_left
new_case
stub df 'printf "Avail\n100M\n"'
run_setup
expect 1 'has 100 MiB free, expected at least 2048'
expect_nothing_left
new_case
stub python3 'case "$*" in *download*) echo "no route" >&2; exit 1 ;; esac'
run_setup
expect 1 'no route' 'could not download torch 2.11.0'
expect_nothing_left
new_case
stub python3 'while [ $# -gt 0 ]; do if [ "$1" = --dest ]; then echo other >"$2/torch-2.11.0.whl"; fi; shift; done'
run_setup
expect 1 'torch-2.11.0.whl is not the file that was pinned' \
  "its SHA-256 is $(echo other | sha256sum | cut -d ' ' -f 1)" 'expected 7aa2f9bbc6d4'
expect_nothing_left

# What is there is not fetched again; what a killed set-up left is swept.
new_case
mkdir -p "$work"/cache/pergola/{libtorch-2.11.0,libtorch-2.11.0.partial,data/easy_vqa.partial}
make_easy_vqa "$work/cache/pergola/data/easy_vqa"
run_setup --data easy_vqa
expect 0 'LibTorch 2.11.0: in' 'data set easy_vqa: in'
expect_no_calls '^(python3|apt-get|sudo)'
[[ ! -e $work/cache/pergola/libtorch-2.11.0.partial && ! -e $work/cache/pergola/data/easy_vqa.partial ]] || {
  echo 'FAILED: partial folders were not swept'
  failures=$((failures + 1))
}

# A data set that is not whole gets what it lacks, and nothing that is there is touched.
new_case
mkdir -p "$work/cache/pergola/libtorch-2.11.0"
make_easy_vqa "$work/wheel/easy_vqa/data"
mkdir "$work/wheel/easy_vqa-1.0.dist-info"
touch "$work/wheel/easy_vqa-1.0.dist-info/LICENSE"
(cd "$work/wheel" && python3 -m zipfile -c "$work/easy_vqa.whl" easy_vqa easy_vqa-1.0.dist-info)
stub python3 "while [ \$# -gt 0 ]; do if [ \"\$1\" = --dest ]; then cp '$work/easy_vqa.whl' \"\$2\"; fi; shift; done"
stub sha256sum 'echo fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f'
data=$work/cache/pergola/data/easy_vqa
mkdir -p "$data/train/images"
echo mine | tee "$data/answers.txt" "$data/notes.txt" >"$data/train/images/7.png"
run_setup --data easy_vqa
expect 0 "$data lacks train/questions.json test/questions.json train/images (1 of 4000) test/images (0 of 1000)" \
  "data set easy_vqa: completed in $data"
[[ $(cat "$data/answers.txt" "$data/notes.txt" "$data/train/images/7.png") == $'mine\nmine\nmine' &&
  -e $data/train/questions.json && -e $data/train/images/3999.png && ! -e $data.partial ]] || {
  echo 'FAILED: the data set was not completed, or something that was there was touched'
  failures=$((failures + 1))
}
: >"$work/calls"
run_setup --data easy_vqa
expect 0 "data set easy_vqa: in $data"
expect_no_calls '^python3'
ln -sf nowhere "$data/answers.txt"
run_setup --data easy_vqa
expect 1 "$data cannot be completed (see above) and lacks answers.txt; move it away and run"

((failures == 0)) || exit 1
echo "tools/setup: all cases hold"
