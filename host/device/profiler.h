// SPDX-License-Identifier: BSD-3-Clause
// What the process does for a while, with LibTorch's profiler: operators of all threads, kernels
// and copies of a GPU, and named ranges; as a file for Perfetto and chrome://tracing (Kineto, over
// CUPTI), or as NVTX ranges for NVIDIA's tools. What is looked at is slower meanwhile. One at a
// time in a process, made and ended by the same thread.
#pragma once

#include "host/config/run_config.h"

#include <ATen/record_function.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <string>

namespace pergola::host {

class Profiler {
 public:
  // To be called before minutes of work, and before other threads run. Throws Error{kConfig} where
  // `trace` could not be written or replaced, or where ranges are wanted and there is no GPU.
  static void prepare(c10::Device device, ProfileOutput output, const std::filesystem::path& trace);

  // Waits for the device, and looks from then on.  REQUIRES: prepare() did not throw.
  Profiler(c10::Device device, ProfileOutput output);
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;
  ~Profiler();  // what was seen is lost

  // Waits for the device, and ends it; of kTrace writes what was seen. Throws Error{kConfig}
  // where the file did not come to be.
  void finish(const std::filesystem::path& trace);

 private:
  c10::Device device_;
  ProfileOutput output_;
  bool is_looking_ = true;
};

// A named range of this thread in what a Profiler sees; without one it costs some nanoseconds.
class ProfileRange {
 public:
  explicit ProfileRange(const std::string& name) : range_(at::RecordScope::USER_SCOPE) {
    if (range_.isActive()) range_.before(name);
  }

 private:
  at::RecordFunction range_;
};

}  // namespace pergola::host
