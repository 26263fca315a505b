#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What libpergola_cuda.so takes from LibTorch is exported there. Where it is not, the library is not loaded, and
# without a GPU nothing else would notice.
#
#   cuda_symbols_test.sh LIBPERGOLA_CUDA SDK_LIBRARY LIBTORCH_FOLDER

set -euo pipefail

[[ -f $3/libtorch_cuda.so ]] || {
  echo "LibTorch in $3 has no CUDA: nothing to compare"
  exit 77  # skipped
}
symbols() { nm -D --format=posix "$@" | cut -d ' ' -f 1 | cut -d @ -f 1 | sort -u; }

wanted=$(symbols --undefined-only "$1" | grep -E '^_ZNK?(2at|3c10|5torch|7pergola)' || true)
[[ -n $wanted ]] || {
  echo "FAILED: $1 takes nothing from LibTorch; is it the library of the kernels?"
  exit 1
}
missing=$(comm -23 <(echo "$wanted") <(symbols --defined-only "$2" "$3"/lib{c10,c10_cuda,torch_cpu,torch_cuda}.so))
[[ -z $missing ]] || {
  echo "FAILED: $1 needs what neither LibTorch nor the SDK exports:"
  c++filt <<<"$missing"
  exit 1
}
