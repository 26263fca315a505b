// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/profile_callback.h"

#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <utility>

namespace pergola::host {

ProfileCallback::ProfileCallback(Trainer& trainer, const ProfileConfig& config,
                                 std::filesystem::path trace)
    : trainer_(trainer), config_(config), trace_(std::move(trace)) {
  Profiler::prepare(trainer.device(), config.output, trace_);
}

ProfileCallback::~ProfileCallback() { end(); }

void ProfileCallback::on_train_start(TrainerState& state) {
  first_ = state.progress.update + config_.start_update;
  done_ = false;
}

void ProfileCallback::on_update_start(TrainerState& state) {
  if (done_ || state.progress.update < first_) return;
  begin(state.progress.update + 1);
}

void ProfileCallback::on_update_complete(TrainerState& state) {
  if (!profiler_) return;
  end();
  const std::int64_t updates = state.progress.update - first_;
  if (updates >= config_.updates) finish(updates);
}

void ProfileCallback::on_train_end(TrainerState& state) {
  if (profiler_) finish(state.progress.update - first_);
  if (done_) return;
  log::warning("[profile] the training ended after update ", state.progress.update,
               ", and the profile begins after update ", first_,
               ": there is none; lower training.profile.start_update");
}

void ProfileCallback::on_exception(TrainerState& /*state*/,
                                   const std::string& /*message*/) noexcept {
  end();
  profiler_.reset();
}

// A hook is called in the phase `callbacks`: ranges would cross if that one's were not begun anew.
void ProfileCallback::begin(std::int64_t update) {
  if (!profiler_) profiler_.emplace(trainer_.device(), config_.output);
  update_.emplace(concat("update ", update));
  phase_.emplace(phase_name(trainer_.times().current()));
  trainer_.times().observe(this);
}

void ProfileCallback::end() {
  trainer_.times().observe(nullptr);
  phase_.reset();
  update_.reset();
}

void ProfileCallback::on_phase(Phase next) noexcept {
  phase_.reset();
  if (next != Phase::kOther) phase_.emplace(phase_name(next));
}

void ProfileCallback::finish(std::int64_t updates) {
  done_ = true;
  profiler_->finish(trace_);
  profiler_.reset();
  if (config_.output == ProfileOutput::kNvtx) return;
  log::info("[profile] ", updates, updates == 1 ? " update" : " updates", " after update ", first_,
            " in ", printable(trace_.string()), ": open it at ui.perfetto.dev or chrome://tracing");
}

}  // namespace pergola::host
