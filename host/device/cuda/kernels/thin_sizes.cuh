// SPDX-License-Identifier: BSD-3-Clause
// From the type and the number of vectors of thin products to a template's. Host code of kernels.
#pragma once

#include "host/device/cuda/kernels/types.cuh"

#include <cstdint>
#include <type_traits>

namespace pergola::cuda {

// Calls `run` with a null pointer of the type, and the number of vectors as a constant.
template <class Run>
void with_sizes(Type type, std::int64_t vectors, Run run) {
  with_type_of(type, [&](auto* typed) {
    switch (vectors) {
      case 1:
        return run(typed, std::integral_constant<int, 1>());
      case 2:
        return run(typed, std::integral_constant<int, 2>());
      case 3:
        return run(typed, std::integral_constant<int, 3>());
      default:
        return run(typed, std::integral_constant<int, 4>());
    }
  });
}

}  // namespace pergola::cuda
