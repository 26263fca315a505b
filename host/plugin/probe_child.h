// SPDX-License-Identifier: BSD-3-Clause
// What is done with a plugin in the process that tries it first, and how that is told. Main thread.
#pragma once

#include "host/plugin/forked_child.h"
#include "host/plugin/trust.h"

#include <filesystem>
#include <string>

namespace pergola::host {

// Loads the plugin, registers what it brings, and makes and destroys each of its models with the
// config of its manifest. An exception of a model's constructor is no fault: the run may have
// another config. That the plugin closes stdout or stderr, or leaves the working directory, is one.
// For run_in_child().
void try_plugin(const std::filesystem::path& path, const TrustPolicy& policy,
                const ChildReport& report) noexcept;

// What try_plugin() told.
struct TrialReport {
  std::string model;       // the last that was about to be made; "": it was not loaded yet
  bool is_made = false;    // and was, and is destroyed
  std::string problem;     // a sentence; "": there is none
  bool no_memory = false;  // more was asked for than there is

  [[nodiscard]] static TrialReport parse(const std::string& report);
};

}  // namespace pergola::host
