// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/run_summary.h"

#include "host/device/device.h"
#include "host/train/phase_times.h"
#include "pergola/version.h"

#include <cstddef>

namespace pergola::host {
namespace {

Value time_split(const PhaseSeconds& phases) {
  Value time{Value::Table{}};
  for (std::size_t i = 0; i < kNumPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    time[phase_name(phase)] = phases[phase];
  }
  return time;
}

}  // namespace

Value run_summary(const SummaryFacts& facts) {
  Value summary;
  summary["status"] = facts.status;
  summary["seconds"] = facts.seconds;
  summary["version"] = PERGOLA_VERSION;
  summary["metrics"] = Value::Table{};
  for (const auto& [key, number] : facts.metrics) summary["metrics"][key] = number;
  if (!facts.problem.empty()) summary["error"] = facts.problem;
  if (facts.session != nullptr) {
    const Value identity = facts.session->identity("");
    summary["device"] = describe_device(facts.session->device());
    summary["model"] = facts.config.model;
    summary["dataset"] = *identity.find("dataset");
    summary["plugin"] = *identity.find("plugin");
  }
  if (facts.training == nullptr) return summary;
  const Trainer& trainer = facts.training->trainer();
  summary["updates"] = trainer.state().progress.update;
  summary["time"] = time_split(trainer.times().totals());
  if (const BestResult best = facts.training->best(); best.update >= 0) {
    summary["best"]["criteria"] = facts.config.training.monitor.criteria;
    summary["best"]["value"] = best.value;
    summary["best"]["update"] = best.update;
  }
  return summary;
}

}  // namespace pergola::host
