// SPDX-License-Identifier: BSD-3-Clause
// RecordedStep for updates of several micro-batches, whose gradients add up.
#include "host/model/guard.h"
#include "host/support/log.h"
#include "host/train/recorded_shape.h"
#include "pergola/error.h"

#include <cstddef>
#include <memory>
#include <utility>

namespace pergola::host {

const StepResult& RecordedStep::add_up(const SampleList& batch, bool is_first) {
  end_ = nullptr;
  if (is_first) optimizer_.zero_grad();
  current_ = paused_ || given_up_ ? nullptr : find(batch);
  if (current_ == nullptr) return compute_by_operations(batch);
  Recording& recording = *current_;
  if (recording.warm_ups < kWarmUps) {
    ++recording.warm_ups;
    return compute_by_operations(batch);
  }
  if (!recording.compute && !record_sum(recording)) return compute_by_operations(batch);
  // Operations, or a hook, may have put some in place that are elsewhere.
  if (const std::string problem = sums_->take_over(); !problem.empty()) {
    give_up(problem);
    forget();
    return compute_by_operations(batch);
  }
  sums_->join(recording.has_gradient);
  return replay_compute(recording);
}

// Records that gradients are added to those that are there. Which ones is not known before: for the
// time all are there.
bool RecordedStep::record_sum(Recording& recording) {
  if (!sums_) guarded(options_.compute_hook, [&] { sums_.emplace(parameters_); });
  std::string problem = sums_->take_over();
  std::unique_ptr<RecordedWork> work;
  if (problem.empty()) {
    std::vector<bool> chosen = sums_->joined();
    sums_->join();
    const std::vector<std::int64_t> before = sums_->versions();
    work = record(
        [this, &recording] {
          recording.recorded = work_.compute(recording.batch);
          detach_output(recording.recorded.output);
        },
        recording.shape.tensors);
    recording.has_gradient = sums_->written_since(before);
    for (std::size_t i = 0; work && i < chosen.size(); ++i) {
      chosen[i] = chosen[i] || recording.has_gradient[i];
    }
    sums_->leave(chosen);
  } else {
    give_up(problem);
  }
  if (!work) {
    forget();
    return false;
  }
  recording.compute = std::move(work);
  // What it hands out may lie where earlier recordings have what they make on the way. Other
  // batches come after somebody has read it, but not the end.
  ends_.clear();
  return true;
}

const StepResult& RecordedStep::finish() {
  PERGOLA_ASSERT(options_.adds_up);
  finished_ = StepResult();
  end_ = find_end();
  if (end_ == nullptr) {
    if (work_.finish) work_.finish(finished_);
    return finished_;
  }
  if (end_->finish) replay(*end_->finish, options_.compute_hook);
  return end_->result;
}

// With what is recorded of finish(). Null where the end is to be done operation by operation.
RecordedStep::End* RecordedStep::find_end() {
  if (!can_record_end()) return nullptr;
  for (const std::unique_ptr<End>& end : ends_) {
    if (has(end->gradients)) return end.get();
  }
  if (ends_.size() == kMostShapes) return nullptr;
  auto end = std::make_unique<End>();
  end->gradients = gradients();
  if (work_.finish) {
    end->finish = record([this, made = end.get()] {
      made->result = StepResult();
      work_.finish(made->result);
    });
    if (!end->finish) return nullptr;
  }
  ends_.push_back(std::move(end));
  return ends_.back().get();
}

// The optimizer's state is not to be made by each replay: it has some of all that get a gradient.
bool RecordedStep::can_record_end() const {
  if (current_ == nullptr || !current_->compute || ends_done_ < kWarmUps) return false;
  const std::vector<bool> joined = sums_->joined();
  for (std::size_t i = 0; i < joined.size(); ++i) {
    if (joined[i] && !stepped_[i]) return false;
  }
  return sums_->has_all();
}

void RecordedStep::apply_sum() {
  const StepResult& result = end_ != nullptr ? end_->result : finished_;
  if (end_ == nullptr || !has(end_->gradients)) {  // or a hook has put others in their place
    work_.apply(result);
    ++ends_done_;
    stepped_.resize(parameters_.size());
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].grad().defined()) stepped_[i] = true;
    }
    return;
  }
  guarded(options_.apply_hook, [&] { optimizer_.before_replay(); });
  if (!end_->apply) end_->apply = record([this, end = end_] { work_.apply(end->result); });
  if (!end_->apply) {
    work_.apply(result);
    return;
  }
  replay(*end_->apply, options_.apply_hook);
  if (replays_++ == 0) log::info("[graph] updates of model '", options_.model, "' are replayed");
}

}  // namespace pergola::host
