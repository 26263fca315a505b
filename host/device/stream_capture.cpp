// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/stream_capture.h"

#include "host/device/on_stream.h"
#include "pergola/error.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <dlfcn.h>

#include <exception>

namespace pergola::host {
namespace {

// LibTorch brings the CUDA runtime; with C types, so that no CUDA header is needed to build.
struct Runtime {
  int (*begin_capture)(void* stream, int mode) = nullptr;
  int (*end_capture)(void* stream, void** graph) = nullptr;
  const char* (*error_string)(int error) = nullptr;
};

template <class Function>
void find(const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
  if (function == nullptr) throw Error(ErrorKind::kUnexpected, "the CUDA runtime has no ", name);
}

Runtime find_runtime() {
  Runtime runtime;
  find("cudaStreamBeginCapture", runtime.begin_capture);
  find("cudaStreamEndCapture", runtime.end_capture);
  find("cudaGetErrorString", runtime.error_string);
  return runtime;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

std::string capture_problem(c10::Device device, const std::function<void()>& work) {
  // LibTorch's allocator may ask the driver for memory meanwhile: its pools are for those who
  // replay the graph.
  constexpr int kRelaxed = 2;  // cudaStreamCaptureModeRelaxed
  constexpr int kWarmUp = 3;   // as PyTorch's own documentation has it: libraries choose algorithms
  const Runtime runtime = find_runtime();
  const c10::impl::VirtualGuardImpl guard(device.type());
  const OnStream on_stream(device);
  for (int i = 0; i < kWarmUp; ++i) work();
  guard.synchronizeStream(on_stream.stream());
  void* const native = guard.getStreamNativeHandle(on_stream.stream());
  if (const int error = runtime.begin_capture(native, kRelaxed); error != 0) {
    return runtime.error_string(error);
  }
  std::string problem;
  try {
    work();
  } catch (const std::exception& error) {
    problem = first_line(error.what());
  }
  void* graph = nullptr;
  const int error = runtime.end_capture(native, &graph);
  if (problem.empty() && error != 0) problem = runtime.error_string(error);
  return problem;
}

}  // namespace pergola::host
