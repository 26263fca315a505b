#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each rule of tools/check_layers fires on a tree that breaks it, names file and line, and on nothing else.

set -euo pipefail

checker=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../tools" && pwd)/check_layers
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

# put FILE LINES...: makes FILE in the tree.
put() {
  mkdir -p "$tree/$(dirname "$1")"
  printf '%s\n' "${@:2}" >"$tree/$1"
}

# reset_tree: a tree that keeps all the rules.
reset_tree() {
  rm -rf "${tree:?}"/*
  put sdk/include/pergola/base_model.h '#include <torch/nn/module.h>' '#include <string>' '#include "pergola/export.h"'
  put sdk/src/internal.h '#include <dlfcn.h>'
  put sdk/src/base_model.cpp '#include "pergola/base_model.h"' '#include "internal.h"' '#include <c10/util/Exception.h>'
  put sdk/testing/contract.cpp '#include <gtest/gtest.h>'
  put plugins/good/layers.h '#include <ATen/core/Tensor.h>'
  put plugins/good/good.cpp '#include "layers.h"' '#include "pergola/base_model.h"' '#include <vector>'
  put plugins/other/other.h '#include <cstdint>'
  put host/support/log.cpp '#include <spdlog/spdlog.h>' '#include "host/support/log.h"'
  put host/support/log.h '#include <string_view>'
  put host/config/toml.cpp '#include <toml++/toml.h>' '#include "host/support/log.h"'
  put host/plugin/manifest.cpp '#include <toml++/toml.h>' '#include <nlohmann/json.hpp>'
  put host/plugin/library.cpp '#include <boost/dll/shared_library.hpp>' '// never dlclose(handle)'
  put host/device/cuda.cpp '#include <cuda_runtime_api.h>' '#include <c10/cuda/CUDAStream.h>'
  put host/distributed/group.cpp '#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>'
  put host/train/trainer.cpp '#include "host/data/loader.h"' '#include <torch/torch.h>' '#include "pergola/base_model.h"'
  put host/cli/train.cpp '#include <boost/program_options.hpp>' '#include "host/callbacks/list.h"'
  put host/main.cpp '#include "host/cli/train.h"'
}

expect_clean() {
  local output
  if ! output=$("$checker" "$tree" 2>&1); then
    echo "FAILED: a tree that keeps the rules is refused: $output"
    failures=$((failures + 1))
  fi
}

# expect_violation FILE LINE WORDS: the line, as the second line of FILE, is refused with WORDS.
expect_violation() {
  local output status=0
  reset_tree
  put "$1" '// the line below breaks a rule' "$2"
  output=$("$checker" "$tree" 2>&1) || status=$?
  if ((status != 1)) || [[ $output != *"$1:2: "*"$3"* ]] || [[ $output != *' 1 against the rules'* ]]; then
    echo "FAILED: '$2' in $1: expected status 1 and one complaint with '$3' at $1:2, found status $status and: $output"
    failures=$((failures + 1))
  fi
}

reset_tree
expect_clean

expect_violation sdk/src/a.cpp '#include "host/support/log.h"' 'not for the SDK'
expect_violation sdk/src/a.cpp '#include <toml++/toml.h>' 'not for the SDK'
expect_violation sdk/src/a.cpp '#include <boost/dll/shared_library.hpp>' 'not for the SDK'
expect_violation sdk/src/a.cpp '#include <spdlog/spdlog.h>' 'not for the SDK'
expect_violation sdk/src/a.cpp '#include <nlohmann/json.hpp>' 'not for the SDK'
expect_violation sdk/src/a.cpp '#include <gtest/gtest.h>' 'not for the SDK'
expect_violation sdk/src/a.cpp '#include <png.h>' 'not for the SDK'
expect_violation sdk/src/a.cpp '#include <c10/cuda/CUDAStream.h>' 'of CUDA or c10d'
expect_violation sdk/include/pergola/a.h '  #  include "../../../host/support/log.h"  // indented' 'not for the SDK'

expect_violation plugins/good/a.cpp '#include "host/support/log.h"' 'of the host'
expect_violation plugins/good/a.cpp '#include "plugins/other/other.h"' 'nor in plugins/good/'
expect_violation plugins/good/a.cpp '#include "../other/other.h"' 'nor in plugins/good/'
expect_violation plugins/good/a.cpp '#include <nlohmann/json.hpp>' 'nor in plugins/good/'
expect_violation plugins/good/a.cpp '#include <cuda_runtime.h>' 'names a device'
expect_violation plugins/good/a.cpp '#include <torch/cuda.h>' 'names a device'

expect_violation host/train/a.cpp '#include "plugins/good/layers.h"' 'of a plugin'
expect_violation host/train/a.cpp '#include "loader.h"' 'not written from the root'
expect_violation host/support/a.cpp '#include "host/config/toml.h"' 'goes up from host/support to host/config'
expect_violation host/train/a.cpp '#include "host/callbacks/list.h"' 'goes up from host/train to host/callbacks'
expect_violation host/data/a.cpp '#include "host/cli/train.h"' 'goes up from host/data to host/cli'
expect_violation host/train/a.cpp '#include "host/misc/a.h"' 'in no layer'

expect_violation host/train/a.cpp '#include <toml++/toml.h>' 'of toml++'
expect_violation host/plugin/scan.cpp '#include <toml++/toml.h>' 'of toml++'
expect_violation host/train/a.cpp '#include <boost/dll.hpp>' 'of Boost.DLL'
expect_violation host/config/a.cpp '#include <boost/program_options.hpp>' 'of Boost.Program_options'
expect_violation host/train/a.cpp '#include <spdlog/logger.h>' 'of spdlog'
expect_violation host/train/a.cpp '#include <cuda_runtime.h>' 'of CUDA'
expect_violation host/train/a.cpp '#include <ATen/cuda/CUDAContext.h>' 'of CUDA'
expect_violation host/train/a.cpp '#include <torch/csrc/distributed/c10d/reducer.hpp>' 'of c10d'
expect_violation host/cli/a.cpp '#include <torch/torch.h>' 'of LibTorch'
expect_violation host/config/a.cpp '#include <ATen/ATen.h>' 'of LibTorch'
expect_violation host/plugin/a.cpp '#include <c10/core/Device.h>' 'of LibTorch'

expect_violation host/plugin/a.cpp '  ::dlclose(handle);' 'dlclose is called'
expect_violation plugins/good/a.cpp 'int r = dlclose (handle);' 'dlclose is called'

reset_tree
put host/misc/a.cpp 'int a;'
output=$("$checker" "$tree" 2>&1) && status=0 || status=$?
if ((status != 1)) || [[ $output != *'host/misc/a.cpp:1: host/misc is in no layer'* ]]; then
  echo "FAILED: a host folder that is no layer: found status $status and: $output"
  failures=$((failures + 1))
fi

output=$("$checker" "$tree/absent" 2>&1) && status=0 || status=$?
if ((status != 2)) || [[ $output != *'is not a folder'* ]]; then
  echo "FAILED: a ROOT that does not exist: expected status 2, found $status and: $output"
  failures=$((failures + 1))
fi

((failures == 0)) || exit 1
echo "all rules of check_layers fire"
