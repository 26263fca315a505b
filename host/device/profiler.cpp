// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/profiler.h"

#include "host/device/device.h"
#include "host/support/file_ops.h"
#include "host/support/files.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <set>
#include <system_error>

namespace pergola::host {
namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;

ProfilerConfig config_for(ProfileOutput output) {
  if (output == ProfileOutput::kNvtx) return ProfilerConfig(ProfilerState::NVTX);
  ProfilerConfig config(ProfilerState::KINETO, /*report_input_shapes=*/true);
  config.experimental_config.profile_all_threads = true;  // those that load batches, too
  return config;
}

std::set<ActivityType> activities_of(c10::Device device) {
  if (device.is_cpu()) return {ActivityType::CPU};
  return {ActivityType::CPU, ActivityType::CUDA};
}

// Kineto would say nothing of a file that it cannot write.
void expect_writable(const std::filesystem::path& trace) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(trace, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    const bool is_folder = std::filesystem::is_directory(status);
    throw Error(ErrorKind::kConfig, "cannot write the trace to ", printable(trace.string()),
                ": it is a ", is_folder ? "folder" : "pipe or a device",
                "; remove or rename it, or leave the profile out");
  }
  const std::filesystem::path temporary = temporary_path(trace);
  static_cast<void>(create_file(temporary, ErrorKind::kConfig));
  static_cast<void>(remove_file(temporary));
}

}  // namespace

void Profiler::prepare(c10::Device device, ProfileOutput output,
                       const std::filesystem::path& trace) {
  if (output == ProfileOutput::kTrace) {
    expect_writable(trace);
  } else if (device.is_cpu()) {
    throw Error(
        ErrorKind::kConfig, "training.profile.output = \"nvtx\" marks ranges for NVIDIA's ",
        "tools, and the device is the CPU; set it to \"trace\", or give --profile in place ",
        "of --nvtx");
  }
  // Kineto tells stderr that there is no GPU, which is no news then.
  if (device.is_cpu()) ::setenv("KINETO_LOG_LEVEL", "5", /*overwrite=*/0);
}

Profiler::Profiler(c10::Device device, ProfileOutput output) : device_(device), output_(output) {
  const ProfilerConfig config = config_for(output);
  const std::set<ActivityType> activities = activities_of(device);
  if (output == ProfileOutput::kTrace) profiler::prepareProfiler(config, activities);
  wait_for(device_);  // what still runs would be seen
  profiler::enableProfiler(config, activities);
}

Profiler::~Profiler() {
  try {
    if (is_looking_) profiler::disableProfiler();
  } catch (const std::exception&) {
    // Another error is on its way, and says more.
  }
}

void Profiler::finish(const std::filesystem::path& trace) {
  wait_for(device_);
  is_looking_ = false;
  const std::unique_ptr<profiler::ProfilerResult> result = profiler::disableProfiler();
  if (output_ == ProfileOutput::kNvtx) return;
  const std::filesystem::path temporary = temporary_path(trace);
  result->save(temporary.string());
  std::error_code error;
  if (std::filesystem::file_size(temporary, error) == 0 && !error) {
    error = std::make_error_code(std::errc::no_space_on_device);
  }
  if (!error) error = rename_path(temporary, trace);
  if (!error) return;
  static_cast<void>(remove_file(temporary));
  throw file_error(ErrorKind::kConfig, "write", trace, error.value());
}

}  // namespace pergola::host
