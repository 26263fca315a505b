// SPDX-License-Identifier: BSD-3-Clause
// Whether work on a GPU can be recorded as a CUDA graph. Main thread.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <string>

namespace pergola::host {

// Runs `work` three times on a stream of its own, then records it there without running it. Returns
// why that cannot be, in CUDA's words; "" when it can. Where it cannot, the process is of no more
// use for work on a GPU. What `work` throws before it is recorded passes through.
// REQUIRES: CUDA is loaded, `device` is a GPU.
[[nodiscard]] std::string capture_problem(c10::Device device, const std::function<void()>& work);

}  // namespace pergola::host
