// SPDX-License-Identifier: BSD-3-Clause
// One examination in a child process of its own. Main thread, before CUDA is initialised.
#pragma once

#include "host/check/examination.h"
#include "host/plugin/forked_child.h"
#include "host/plugin/manifest.h"
#include "host/plugin/trust.h"
#include "pergola/value.h"

#include <chrono>
#include <filesystem>
#include <string>

namespace pergola::host {

// The model that is examined, with a config that is complete.
struct ExaminedModel {
  std::filesystem::path file;
  TrustPolicy policy = {};
  std::string key;
  Value config;
  ModelInputs inputs;
};

// Loads the plugin in a child and examines the model there. A child that crashes, hangs or ends is
// a failure that says so; its text is safe to print. Throws Stopped, and std::system_error where
// the system makes no child.
[[nodiscard]] Finding run_examination(const Examination& examination, const ExaminedModel& model,
                                      std::chrono::milliseconds time_limit);

}  // namespace pergola::host
