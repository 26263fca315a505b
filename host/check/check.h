// SPDX-License-Identifier: BSD-3-Clause
// `pergola plugins check`: examines the models of a plugin, each examination in a child process
// with a time limit, so that whatever a plugin does becomes a finding. Main thread, before CUDA is
// initialised.
#pragma once

#include "host/check/finding.h"
#include "host/config/overrides.h"
#include "host/plugin/plugin_file.h"
#include "host/plugin/trust.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace pergola::host {

struct CheckRequest {
  std::filesystem::path file;
  TrustPolicy policy = {};
  std::vector<std::string> models = {};        // empty: all
  std::vector<std::string> examinations = {};  // empty: all
  // Of model_config.<model>, over what the manifest's `check` says.
  std::vector<Override> overrides = {};
  std::chrono::milliseconds time_limit = std::chrono::seconds(60);  // of each examination
};

// One examination of one model. Of what is no model's, the whole plugin's, `model` is "".
struct Examined {
  std::string model;
  std::string examination;
  Finding finding;
  double seconds = 0;
};

struct CheckReport {
  std::string plugin;  // name and version
  std::filesystem::path file;
  std::string sha256;
  std::vector<Examined> examined;

  [[nodiscard]] int count(Verdict verdict) const;
};

// The first examination, of the whole plugin: is it loaded, and are its models made?
inline constexpr const char* kLoadExamination = "load";

struct PlannedExamination {
  std::string model;
  std::string examination;
  std::string question;  // that it answers
};

// All that check_plugin() would do with models, in its order.
[[nodiscard]] std::vector<PlannedExamination> planned(const CheckRequest& request);

// Examines; `tell` hears of each as it ends. Throws Error{kPlugin} where the file is no plugin that
// this host would load, with what it would say to a run; Error{kConfig} for a model or examination
// that is not there, an override that is not of one of its models, or does not fit; and Stopped.
[[nodiscard]] CheckReport check_plugin(const CheckRequest& request,
                                       const std::function<void(const Examined&)>& tell = {});

}  // namespace pergola::host
