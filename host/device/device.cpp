// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/device.h"

#include "host/device/cuda.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Generator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <sched.h>

#include <charconv>
#include <cstdlib>
#include <mutex>

namespace pergola::host {
namespace {

constexpr const char* kNextStep =
    "use --device cpu, or install a driver for CUDA 13 and run tools/setup --cuda; "
    "`pergola doctor` shows what was found";

// The N of "cuda:N"; 0 of "cuda"; -1 for anything else.
int cuda_index(const std::string& wanted) {
  if (wanted == "cuda") return 0;
  if (wanted.rfind("cuda:", 0) != 0) return -1;
  int index = -1;
  const char* end = wanted.data() + wanted.size();
  const auto parsed = std::from_chars(wanted.data() + 5, end, index);
  return parsed.ec == std::errc() && parsed.ptr == end ? index : -1;
}

// Why CUDA cannot be used, or "" with CUDA loaded.
std::string cuda_problem(const CudaState& state) {
  return state.problem.empty() ? load_cuda() : state.problem;
}

std::map<std::string, at::Generator> generators_of(c10::Device device) {
  at::Context& context = at::globalContext();
  std::map<std::string, at::Generator> generators = {
      {"cpu", context.defaultGenerator(c10::Device(c10::kCPU))}};
  if (device.is_cuda()) generators.emplace("cuda", context.defaultGenerator(device));
  return generators;
}

}  // namespace

c10::Device select_device(const std::string& wanted) {
  if (wanted == "cpu") return c10::Device(c10::kCPU);
  const bool automatic = wanted == "auto";
  const int index = automatic ? 0 : cuda_index(wanted);
  if (index < 0) {
    throw Error(ErrorKind::kConfig, "device '", wanted,
                "' is not known; expected auto, cpu, cuda or cuda:N");
  }
  const CudaState state = probe_cuda();
  const std::string problem = cuda_problem(state);
  if (problem.empty() && index < static_cast<int>(state.devices.size())) {
    if (!kernels_problem().empty()) {
      log::info("[device] without the host's own kernels, so slower: ", kernels_problem());
    }
    return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
  }
  if (automatic) {
    log::info("[device] training on the CPU: ", problem);
    return c10::Device(c10::kCPU);
  }
  if (problem.empty()) {
    throw Error(ErrorKind::kConfig, "device '", wanted, "' does not exist; this machine shows ",
                state.devices.size(), " GPU(s), numbered from 0");
  }
  throw Error(ErrorKind::kConfig, "device '", wanted, "' cannot be used: ", problem, "; ",
              kNextStep);
}

std::string describe_device(c10::Device device) {
  const int threads = at::get_num_threads();
  if (device.is_cpu()) return concat("cpu (", threads, threads == 1 ? " thread)" : " threads)");
  const CudaState state = probe_cuda();
  const auto index = static_cast<std::size_t>(device.index());
  return concat(device.str(), " (", index < state.devices.size() ? state.devices[index] : "?", ")");
}

void wait_for(c10::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

void prepare_cpu(std::int64_t num_threads) {
  cpu_set_t allowed;  // by taskset or a batch system; the standard library counts them all
  const bool known = ::sched_getaffinity(0, sizeof(allowed), &allowed) == 0;
  if (const int cores = known ? CPU_COUNT(&allowed) : 0; cores > 0 && num_threads > cores) {
    log::warning("[device] training.num_threads = ", num_threads, " is more than the ", cores,
                 " cores that this process may use; threads that wait for a core make training "
                 "slower, so set it to ",
                 cores, " or less, or to 0 for all cores");
  }
  // Threads inherit the mode, so it is set before OpenMP makes any. A model that has converged is
  // full of denormal numbers, and each of them costs the CPU a hundred cycles.
  at::globalContext().setFlushDenormal(true);
  if (num_threads > 0) at::set_num_threads(static_cast<int>(num_threads));
}

void set_deterministic(bool deterministic, bool cudnn_benchmark) {
  // cuBLAS adds up in an order of its own unless its workspace has a fixed size; a user's stays.
  if (deterministic) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  context.setDeterministicCuDNN(deterministic);
  context.setBenchmarkCuDNN(cudnn_benchmark && !deterministic);
}

std::string without_deterministic_form(const std::string& message) {
  const std::size_t end = message.find(" does not have a deterministic implementation");
  return end == std::string::npos ? "" : message.substr(0, end);
}

RngStates rng_states(c10::Device device) {
  RngStates states;
  for (const auto& [kind, generator] : generators_of(device)) {
    states.emplace(kind, generator.get_state());
  }
  return states;
}

void set_rng_states(c10::Device device, const RngStates& states) {
  for (auto& [kind, generator] : generators_of(device)) {
    const auto state = states.find(kind);
    if (state == states.end()) continue;
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state->second);
  }
}

}  // namespace pergola::host
