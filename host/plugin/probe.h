// SPDX-License-Identifier: BSD-3-Clause
// Isolation: a plugin that this host has not seen is tried in a child process before it joins this
// one, and whatever it does there is a sentence here. Main thread, before CUDA is initialised.
#pragma once

#include "host/plugin/forked_child.h"
#include "host/plugin/plugin_file.h"
#include "host/plugin/probe_cache.h"
#include "host/plugin/trust.h"

#include <filesystem>
#include <string>

namespace pergola::host {

struct ProbeResult {
  bool tried = true;    // false: the system made no child; the log says why
  std::string problem;  // why it may not join this process, with a next step; "": it may
};

// Tries the plugin, whatever is known of it. Throws Stopped when a stop signal comes.
// REQUIRES: file.usable().
[[nodiscard]] ProbeResult probe_plugin(const PluginFile& file, const TrustPolicy& policy,
                                       const ChildLimits& limits = {});

// What to do with a plugin that failed before. It may have failed for want of something that is
// there now.
enum class Failures { kBelieve, kTryAgain };

// Tries those plugins of which it is not known how that ends. Keeps what it learns for later
// processes when it is destroyed.
class PluginProber {
 public:
  PluginProber(TrustPolicy policy, Failures failures,
               const std::filesystem::path& cache = default_probe_cache(), ChildLimits limits = {});
  PluginProber(const PluginProber&) = delete;
  PluginProber& operator=(const PluginProber&) = delete;
  ~PluginProber() { cache_.save(); }

  // Why the plugin may not join this process; "" when it may, or cannot be tried. Throws Stopped.
  // REQUIRES: file.usable().
  [[nodiscard]] std::string problem_of(const PluginFile& file);

  // How many plugins were not known.
  [[nodiscard]] int tried() const noexcept { return tried_; }

 private:
  [[nodiscard]] bool is_known(const ProbedFile* known, const PluginFile& file) const;

  TrustPolicy policy_;
  Failures failures_;
  ProbeCache cache_;
  ChildLimits limits_;
  int tried_ = 0;
};

}  // namespace pergola::host
