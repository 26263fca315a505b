// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/process_state.h"

#include "pergola/error.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <cfenv>
#include <clocale>
#include <csignal>
#include <filesystem>
#include <system_error>

namespace pergola::host {
namespace {

std::string on_or_off(bool value) { return value ? "on" : "off"; }

std::string autocast_of(at::DeviceType device) {
  if (!at::autocast::is_autocast_enabled(device)) return "off";
  return c10::toString(at::autocast::get_autocast_dtype(device));
}

// How numbers are rounded, and whether tiny ones are flushed to zero.
std::string floating_point_mode() {
  std::string mode = concat("rounding ", std::fegetround());
#if defined(__SSE__)
  constexpr unsigned kFlags = 0x3f;  // of what happened, which all code sets
  mode += concat(", control ", _mm_getcsr() & ~kFlags);
#endif
  return mode;
}

// The handler as a number, since a name is nowhere.
std::string handler_of(int signal) {
  struct sigaction action {};
  ::sigaction(signal, nullptr, &action);
  if (action.sa_handler == SIG_DFL) return "the default";
  if (action.sa_handler == SIG_IGN) return "ignored";
  return concat("a handler at ", reinterpret_cast<const void*>(action.sa_sigaction));
}

}  // namespace

ProcessState ProcessState::now() {
  ProcessState state;
  state.add("the default dtype", c10::toString(c10::get_default_dtype_as_scalartype()));
  state.add("the number of threads", std::to_string(at::get_num_threads()));
  state.add("the grad mode", on_or_off(at::GradMode::is_enabled()));
  state.add("the inference mode", on_or_off(c10::InferenceMode::is_enabled()));
  state.add("autocast on the CPU", autocast_of(at::kCPU));
  state.add("autocast on the GPU", autocast_of(at::kCUDA));
  state.add("deterministic algorithms", on_or_off(at::globalContext().deterministicAlgorithms()));
  state.add("cuDNN's benchmark mode", on_or_off(at::globalContext().benchmarkCuDNN()));
  if (at::hasCUDA()) {
    state.add("the current device", c10::impl::VirtualGuardImpl(at::kCUDA).getDevice().str());
  }
  // Drawing from it is what a model does; seeding it is not.
  state.add("the seed of the CPU's generator",
            std::to_string(at::detail::getDefaultCPUGenerator().current_seed()));
  state.add("the locale", std::setlocale(LC_ALL, nullptr));
  state.add("the floating-point mode", floating_point_mode());
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                           SIGABRT, SIGPIPE, SIGCHLD, SIGALRM}) {
    state.add(concat("what SIG", ::sigabbrev_np(signal), " does"), handler_of(signal));
  }
  std::error_code ignored;
  state.add("the working directory", std::filesystem::current_path(ignored).string());
  return state;
}

std::vector<std::string> ProcessState::changes(const ProcessState& later) const {
  std::vector<std::string> changes;
  for (std::size_t i = 0; i < values_.size() && i < later.values_.size(); ++i) {
    const auto& [what, before] = values_[i];
    const std::string& after = later.values_[i].second;
    if (before != after) changes.push_back(concat(what, " from ", before, " to ", after));
  }
  return changes;
}

}  // namespace pergola::host
