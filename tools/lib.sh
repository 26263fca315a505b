# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What the scripts in this folder share. Sourced, never run.

PERGOLA_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PERGOLA_CACHE=${XDG_CACHE_HOME:-${HOME:?HOME is not set; set it, or set XDG_CACHE_HOME}/.cache}/pergola
export PERGOLA_ROOT PERGOLA_CACHE

# note WORDS...: one line of progress, headed by the script's name.
note() { printf '[%s] %s\n' "$(basename "$0")" "$*"; }

# fail WORDS...: one sentence on stderr, then exit status 1.
fail() {
  printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# usage_error WORDS...: a wrong command line; exit status 2.
usage_error() {
  printf '%s: error: %s; run %s --help\n' "$(basename "$0")" "$*" "$0" >&2
  exit 2
}

# print_help: the comment block at the top of the running script, without its first two lines.
print_help() { sed -n '3,/^[^#]/{ s/^# \{0,1\}//p; }' "$0"; }

# have NAME: is there such a command?
have() { command -v "$1" >/dev/null 2>&1; }

# build_jobs: as many compilers as there are cores, but one for each 3 GiB of memory at most; a unit
# that includes LibTorch needs about 2 GiB, and swapping is slower than waiting.
build_jobs() {
  local cores memory_kib jobs
  cores=$(nproc)
  memory_kib=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
  jobs=$((memory_kib / (3 * 1024 * 1024)))
  if ((jobs > cores)); then jobs=$cores; fi
  echo $((jobs < 1 ? 1 : jobs))
}

# data_dir: the folder that holds the data sets, each in a folder of its name.
data_dir() { echo "${PERGOLA_DATA_DIR:-$PERGOLA_CACHE/data}"; }

# have_gpu: is there an NVIDIA GPU that its driver can reach?
have_gpu() { have nvidia-smi && [[ $(nvidia-smi -L 2>/dev/null) == 'GPU '* ]]; }

# configure_and_build PRESET: from the repository's root.
configure_and_build() {
  note "configuring the preset $1 in build/$1"
  cmake --preset "$1"
  note "building with $(build_jobs) jobs"
  cmake --build --preset "$1" --parallel "$(build_jobs)"
}
