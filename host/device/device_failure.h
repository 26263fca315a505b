// SPDX-License-Identifier: BSD-3-Clause
// A GPU that failed: an illegal memory access, an assertion in a kernel, a launch that ended badly.
// CUDA answers every later call of the process with the same error then, also where memory is given
// back, in destructors, from which LibTorch throws all the same: that ends a process without a
// word, and here with the sentence. Process-wide. No LibTorch here.
#pragma once

#include <exception>
#include <string>

namespace pergola::host {

// "an illegal memory access was encountered"; "" when `error` is not of a GPU that failed.
[[nodiscard]] std::string device_failure(const std::exception& error);

// `failure` and why it is told here, as the rest of a sentence: "the GPU reports '...'; ...".
[[nodiscard]] std::string explain_device_failure(const std::string& failure);

// From now on device_has_failed(), and a process that is ended by an exception in a destructor
// says `sentence`, unless it was told already, and exits with `code`. The first one counts.
void note_device_failure(const std::string& sentence, int code) noexcept;
void device_failure_was_told() noexcept;
// Nothing more is to be asked of the device.
[[nodiscard]] bool device_has_failed() noexcept;

// CUDA tells errors where they happen, at the price of waiting for each kernel. A user's own
// setting stays.  REQUIRES: CUDA is not loaded.
void tell_device_errors_at_once();

}  // namespace pergola::host
