// SPDX-License-Identifier: BSD-3-Clause
// The one place that chooses the device of a run. Call on the main thread, before plugins load.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <string>

namespace pergola::host {

// "auto", "cpu", "cuda" or "cuda:N" to a device that works; CUDA is loaded when it is chosen.
// "auto" takes the first GPU, or the CPU with one log line that says why. Throws Error{kConfig}
// when another word was given or the wanted device is not there.
[[nodiscard]] c10::Device select_device(const std::string& wanted);

// "cpu (2 threads)" or "cuda:0 (NVIDIA H100 80GB HBM3, 79.2 GiB, compute capability 9.0)".
[[nodiscard]] std::string describe_device(c10::Device device);

// Until the device has done all that it was given; the CPU has.
void wait_for(c10::Device device);

// How the CPU computes: denormal numbers count as 0, and one operation runs on `num_threads`
// threads; 0 takes all cores. More than there are is a warning. Before any tensor work.
void prepare_cpu(std::int64_t num_threads);

// With `deterministic`, the same run gives the same bits on a GPU too: operations take their
// deterministic form, which may be slower, memory that nobody has written yet is filled (together 2
// to 6 % of a BERT's step on an H200), and operations that have no such form throw
// (without_deterministic_form()). `cudnn_benchmark`: cuDNN tries its convolutions on each new shape
// and takes the fastest; that is faster for shapes that stay, and another one in each run, so it is
// off with `deterministic`. For the whole process; before any work on a GPU, because cuBLAS reads
// an environment variable that this sets when it starts.
void set_deterministic(bool deterministic, bool cudnn_benchmark);

// The operation that LibTorch refused in `message` because it has no deterministic form;
// "" when the message is another one.
[[nodiscard]] std::string without_deterministic_form(const std::string& message);

// States of the generators that a run on `device` draws from, by kind of device: always "cpu", and
// beside it "cuda" there, from which dropout and weight initialisation draw then; uint8 [n] on the
// CPU.
using RngStates = std::map<std::string, at::Tensor>;
[[nodiscard]] RngStates rng_states(c10::Device device);
// Gives each of these generators its state; one that `states` does not have stays as it is.
void set_rng_states(c10::Device device, const RngStates& states);

}  // namespace pergola::host
