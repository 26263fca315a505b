// SPDX-License-Identifier: BSD-3-Clause
// The one place that chooses the device of a run. Call on the main thread, before plugins load.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace pergola::host {

// "auto", "cpu", "cuda" or "cuda:N" to a device that works; CUDA is loaded when it is chosen.
// "auto" takes the first GPU, or the CPU with one log line that says why. Throws Error{kConfig}
// when another word was given or the wanted device is not there.
[[nodiscard]] c10::Device select_device(const std::string& wanted);

// "cpu (2 threads)" or "cuda:0 (NVIDIA H100 80GB HBM3, 79.2 GiB, compute capability 9.0)".
[[nodiscard]] std::string describe_device(c10::Device device);

// How the CPU computes: denormal numbers count as 0, and one operation runs on `num_threads`
// threads; 0 takes all cores. More than there are is a warning. Before any tensor work.
void prepare_cpu(std::int64_t num_threads);

// The state of the generator that dropout and weight initialisation on this device draw from: uint8
// [n] on the CPU.
[[nodiscard]] at::Tensor rng_state(c10::Device device);
void set_rng_state(c10::Device device, const at::Tensor& state);

}  // namespace pergola::host
