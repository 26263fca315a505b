// SPDX-License-Identifier: BSD-3-Clause
// Finds out whether CUDA can be used, and loads LibTorch's CUDA half when it is wanted, at run
// time: the host links libtorch_cpu alone. No LibTorch headers here. Call on the main thread,
// before any plugin is loaded: CUDA calls dlopen itself, and a plugin's constructor holds the
// loader's lock.
#pragma once

#include <string>
#include <vector>

namespace pergola::host {

struct CudaState {
  // One line a GPU that CUDA_VISIBLE_DEVICES leaves: "NVIDIA H100, 79.2 GiB, capability 9.0".
  std::vector<std::string> devices;
  std::vector<int> capabilities;  // of each: 90 for 9.0
  std::string driver;             // "13.0", the newest CUDA that the driver runs; empty without one
  std::string problem;            // why CUDA cannot be used; empty when it can
};

// Whether the driver has a device file here, without asking it: this process can be forked then.
[[nodiscard]] bool has_gpu_driver() noexcept;

// Asks the driver, without LibTorch: quick, and no context is made.
[[nodiscard]] CudaState probe_cuda();

// Why cuInit returned `code`, which is not 0.
[[nodiscard]] std::string describe_init_failure(int code);

// Loads libtorch_cuda.so, and libpergola_cuda.so where the build has one. Returns the reason when
// the first fails, "" when CUDA is ready. Nothing may have asked LibTorch about CUDA before.
[[nodiscard]] std::string load_cuda();

// load_cuda() is to leave libpergola_cuda.so out: LibTorch's own operators alone, to compare with.
void leave_out_kernels() noexcept;

// Why libpergola_cuda.so, with the host's own kernels, is not in use, once load_cuda() was called;
// empty where it is. All works without it, slower.
[[nodiscard]] const std::string& kernels_problem() noexcept;

}  // namespace pergola::host
