// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/gpu_report.h"

#include "host/device/memory.h"
#include "pergola/error.h"

#include <dlfcn.h>

#include <exception>
#include <optional>

namespace pergola::host {
namespace {

// With C types, so that no CUDA header is needed to build.
template <class Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(::dlsym(library, name));
}

std::string multiprocessors(int index) {
  constexpr int kMultiProcessorCount = 16;  // cudaDeviceAttr
  const auto attribute = find<int (*)(int*, int, int)>(RTLD_DEFAULT, "cudaDeviceGetAttribute");
  int count = 0;
  if (attribute == nullptr || attribute(&count, kMultiProcessorCount, index) != 0) return "";
  return concat(count, " multiprocessors");
}

std::string cuda_version() {
  const auto runtime = find<int (*)(int*)>(RTLD_DEFAULT, "cudaRuntimeGetVersion");
  int version = 0;
  if (runtime == nullptr || runtime(&version) != 0) return "";
  return concat("CUDA ", version / 1000, ".", version % 1000 / 10);
}

// Of the kernel module, "580.82.07", which is what NVIDIA's list of releases has.
std::string driver_version() {
  void* const library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return "";
  const auto init = find<int (*)()>(library, "nvmlInit_v2");
  const auto version = find<int (*)(char*, unsigned)>(library, "nvmlSystemGetDriverVersion");
  char text[96] = {};
  if (init == nullptr || version == nullptr || init() != 0) return "";
  if (version(text, sizeof(text)) != 0) return "";
  return concat("driver ", text);
}

std::string memory(int index) {
  try {
    const c10::Device device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
    const std::optional<DeviceRoom> room = device_room(device);
    if (!room) return "";
    return concat(bytes_text(room->total), " of memory, ", bytes_text(room->free), " of it free");
  } catch (const std::exception&) {
    return "";  // whoever uses the device is told why
  }
}

void add(std::string& text, const char* separator, const std::string& part) {
  if (part.empty()) return;
  text += (text.empty() ? "" : separator) + part;
}

}  // namespace

std::string describe_gpu(int index) {
  std::string text = multiprocessors(index);
  add(text, ", ", memory(index));
  add(text, "; ", driver_version());
  add(text, ", ", cuda_version());
  return text;
}

}  // namespace pergola::host
