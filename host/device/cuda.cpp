// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda.h"

#include "host/device/cuda_library.h"
#include "pergola/error.h"

#include <ATen/Context.h>

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>

namespace pergola::host {
namespace {

// The functions of the driver that say which devices there are; with C types, so that no CUDA
// header is needed to build.
struct Driver {
  int (*init)(unsigned flags) = nullptr;
  int (*version)(int* version) = nullptr;
  int (*device_count)(int* count) = nullptr;
  int (*device_name)(char* name, int size, int device) = nullptr;
  int (*device_memory)(std::size_t* bytes, int device) = nullptr;
  int (*device_attribute)(int* value, int attribute, int device) = nullptr;
};

constexpr int kNoDevice = 100;  // CUresult of the driver API
constexpr const char* kKernels = "libpergola_cuda.so";
constexpr const char* kNoGpu = "the NVIDIA driver shows no GPU; is CUDA_VISIBLE_DEVICES set?";
constexpr int kComputeCapabilityMajor = 75;  // CUdevice_attribute of the driver API
constexpr int kComputeCapabilityMinor = 76;

std::string dl_problem() {
  const char* text = dlerror();
  return text != nullptr ? text : "unknown reason";
}

template <class Function>
bool find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, Driver& driver) {
  return find(library, "cuInit", driver.init) &&
         find(library, "cuDriverGetVersion", driver.version) &&
         find(library, "cuDeviceGetCount", driver.device_count) &&
         find(library, "cuDeviceGetName", driver.device_name) &&
         find(library, "cuDeviceTotalMem_v2", driver.device_memory) &&
         find(library, "cuDeviceGetAttribute", driver.device_attribute);
}

int capability_of(const Driver& driver, int device) {
  int major = 0;
  int minor = 0;
  driver.device_attribute(&major, kComputeCapabilityMajor, device);
  driver.device_attribute(&minor, kComputeCapabilityMinor, device);
  return 10 * major + minor;
}

std::string with_dot(int capability) { return concat(capability / 10, ".", capability % 10); }

std::string describe(const Driver& driver, int device) {
  char name[256] = "unknown GPU";
  std::size_t bytes = 0;
  driver.device_name(name, sizeof(name), device);
  driver.device_memory(&bytes, device);
  char memory[32];
  std::snprintf(memory, sizeof(memory), "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
  return concat(name, ", ", memory, ", capability ", with_dot(capability_of(driver, device)));
}

// What load_cuda() found; on the main thread before there are others.
struct Kernels {
  const CudaLibrary* library = nullptr;
  std::string problem = "CUDA is not loaded";
};

Kernels& kernels() {
  static Kernels found;
  return found;
}

bool kernels_are_wanted = true;

// Its operators register themselves.
Kernels load_kernels() {
  if (!kernels_are_wanted) return {nullptr, "training.fused_kernels is false"};
  for (const int capability : probe_cuda().capabilities) {
    if (capability >= PERGOLA_LEAST_CAPABILITY) continue;
    return {nullptr, concat("they were built for capability ", with_dot(PERGOLA_LEAST_CAPABILITY),
                            " and above, and a GPU here has ", with_dot(capability),
                            "; build with -DCMAKE_CUDA_ARCHITECTURES=", capability)};
  }
  void* library = dlopen(kKernels, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {nullptr, dl_problem()};
  decltype(&pergola_cuda_library) entry = nullptr;
  if (!find(library, "pergola_cuda_library", entry)) return {nullptr, dl_problem()};
  return {entry(), ""};
}

}  // namespace

void leave_out_kernels() noexcept { kernels_are_wanted = false; }

const std::string& kernels_problem() noexcept { return kernels().problem; }
const CudaLibrary* cuda_library() noexcept { return kernels().library; }

std::string describe_init_failure(int code) {
  if (code == kNoDevice) return kNoGpu;
  return concat("the NVIDIA driver could not start (cuInit returned ", code, ")");
}

bool has_gpu_driver() noexcept {
  // Of Linux, and of Linux within Windows.
  return ::access("/dev/nvidiactl", F_OK) == 0 || ::access("/dev/dxg", F_OK) == 0;
}

CudaState probe_cuda() {
  CudaState state;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    state.problem = "no NVIDIA driver (libcuda.so.1) was found";
    return state;
  }
  Driver driver;
  if (!find_all(library, driver)) {
    state.problem = "the NVIDIA driver's libcuda.so.1 is incomplete";
    return state;
  }
  int version = 0;
  if (driver.version(&version) == 0)
    state.driver = concat(version / 1000, ".", version % 1000 / 10);
  const int failed = driver.init(0);
  if (failed != 0) {
    state.problem = describe_init_failure(failed);
    return state;
  }
  int count = 0;
  driver.device_count(&count);
  for (int device = 0; device < count; ++device) {
    state.devices.push_back(describe(driver, device));
    state.capabilities.push_back(capability_of(driver, device));
  }
  if (count == 0) state.problem = kNoGpu;
  return state;
}

std::string load_cuda() {
  static bool loaded = false;  // not at::hasCUDA(): its first answer is remembered for ever
  if (loaded) return "";
  // RTLD_GLOBAL: its static constructors register the CUDA kernels with the one dispatcher, and
  // plugins with kernels of their own resolve against it.
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return "libtorch_cuda.so could not be loaded (" + dl_problem() + ")";
  }
  loaded = true;
  kernels() = load_kernels();
  return at::hasCUDA() ? "" : "libtorch_cuda.so was loaded, but LibTorch still sees no CUDA";
}

}  // namespace pergola::host
