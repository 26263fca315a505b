// SPDX-License-Identifier: BSD-3-Clause
// What a GPU and its driver are, in words. No state. No LibTorch here.
#pragma once

#include <string>

namespace pergola::host {

// "132 multiprocessors, 79.10 GiB of memory, 78.50 GiB of it free; driver 580.82, CUDA 13.0"; what
// cannot be found out is left out. Makes a context on the GPU.
// REQUIRES: CUDA is loaded, and probe_cuda() has so many devices.
[[nodiscard]] std::string describe_gpu(int index);

}  // namespace pergola::host
