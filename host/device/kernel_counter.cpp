// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/kernel_counter.h"

#include "host/device/device.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <kineto/ActivityType.h>

#include <algorithm>
#include <exception>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

namespace profiler = torch::autograd::profiler;

bool is_kernel(const profiler::KinetoEvent& event) {
  constexpr auto kKernel = static_cast<std::uint8_t>(libkineto::ActivityType::CONCURRENT_KERNEL);
  return event.activityType() == kKernel;
}

}  // namespace

KernelCounter::KernelCounter(c10::Device device) : device_(device) {
  using torch::profiler::impl::ActivityType;
  using torch::profiler::impl::ProfilerConfig;
  using torch::profiler::impl::ProfilerState;
  const ProfilerConfig config(ProfilerState::KINETO);
  const std::set<ActivityType> activities = {ActivityType::CUDA};
  profiler::prepareProfiler(config, activities);
  wait_for(device_);  // what still runs would be counted
  profiler::enableProfiler(config, activities);
}

KernelCounter::~KernelCounter() {
  try {
    if (is_counting_) profiler::disableProfiler();
  } catch (const std::exception&) {
    // Another error is on its way, and says more.
  }
}

std::optional<std::int64_t> KernelCounter::stop() {
  wait_for(device_);
  is_counting_ = false;
  const auto result = profiler::disableProfiler();
  const std::int64_t count = std::ranges::count_if(result->events(), is_kernel);
  return count > 0 ? std::optional(count) : std::nullopt;
}

}  // namespace pergola::host
