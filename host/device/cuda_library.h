// SPDX-License-Identifier: BSD-3-Clause
// What libpergola_cuda.so gives the host besides its operators, which register themselves. The host
// does not link it: load_cuda() loads it where the build has it.
#pragma once

#include "host/device/step_graph.h"

#include <c10/core/Device.h>

#include <memory>

namespace pergola::host {

struct CudaLibrary {
  std::unique_ptr<GraphRecorder> (*make_graph_recorder)(c10::Device device) = nullptr;
};

// Null before load_cuda(), and where the build has no such library.
[[nodiscard]] const CudaLibrary* cuda_library() noexcept;

}  // namespace pergola::host

// The library's one entry; for cuda_library() alone.
extern "C" [[gnu::visibility("default")]] const pergola::host::CudaLibrary*
pergola_cuda_library() noexcept;
