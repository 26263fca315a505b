// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/step_graph.h"

#include "host/device/cuda.h"
#include "host/device/cuda_library.h"

namespace pergola::host {

std::unique_ptr<GraphRecorder> make_graph_recorder(c10::Device device, std::string& problem) {
  const CudaLibrary* const library = cuda_library();
  if (library != nullptr) return library->make_graph_recorder(device);
  problem = "libpergola_cuda.so is not in use: " + kernels_problem();
  return nullptr;
}

}  // namespace pergola::host
