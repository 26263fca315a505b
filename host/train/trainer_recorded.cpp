// SPDX-License-Identifier: BSD-3-Clause
// What of a Trainer's updates is recorded, and when (recorded_step.h).
#include "host/model/guard.h"
#include "host/model/optimizers/device_skip.h"
#include "host/train/clip.h"
#include "host/train/trainer.h"

#include <ATen/ATen.h>

#include <memory>
#include <utility>

namespace pergola::host {

// What is known before the first update; RecordedStep finds the rest.
void Trainer::begin_recording() {
  if (parts_.recorder == nullptr) return;
  const std::string model(key_of(parts_.model));
  const std::string reason = not_recordable();
  if (!reason.empty()) {
    tell_not_recorded(model, reason, options_.graphs_are_required);
    return;
  }
  if (!parts_.device.is_cpu()) stream_.emplace(parts_.device);
  // Whoever acts on what a step does has to know whether there is one.
  reads_overflow_ = options_.gradients_are_read || options_.measure_grad_norm ||
                    options_.steps_may_be_skipped || parts_.average != nullptr ||
                    dynamic_cast<DeviceSkip*>(&parts_.optimizer) == nullptr;
  if (adds_up()) share_ = at::ones({}, at::TensorOptions(parts_.device).dtype(at::kDouble));
  recorded_ = std::make_unique<RecordedStep>(
      *parts_.recorder, parts_.model, parts_.optimizer, parts_.device, recorded_work(),
      RecordedStep::Options{.model = model,
                            .compute_hook = hook_of_model("training_step()"),
                            .apply_hook = hook_of_optimizer("step()"),
                            .is_required = options_.graphs_are_required,
                            .copies_output = options_.outputs_are_kept,
                            .adds_up = adds_up()});
}

RecordedStep::Work Trainer::recorded_work() {
  RecordedStep::Work work;
  if (!adds_up()) {
    work.compute = [this](const SampleList& batch) { return compute(batch); };
    work.apply = [this](const StepResult& result) {
      take_step(result);
      meter_.add_values(result.means);
    };
    return work;
  }
  work.compute = [this](const SampleList& batch) {
    return pass(batch, state_.progress.batch_in_epoch, /*divisor=*/1);  // share_ has it
  };
  const bool clips =
      !options_.gradients_are_read &&
      (options_.max_grad_l2_norm || options_.clip_grad_value || options_.measure_grad_norm);
  if (scaler_ || clips) work.finish = [this](StepResult& result) { finish(result); };
  work.apply = [this](const StepResult& result) { take_step(result); };
  return work;
}

void Trainer::end_recording() noexcept {
  if (recorded_) replays_before_ += recorded_->replays();
  recorded_.reset();
  share_.reset();
  stream_.reset();
}

std::string Trainer::not_recordable() const {
  if (options_.detect_anomaly) return "training.detect_anomaly reads what each operation made";
  if (split_ && split_->most_samples() > 0) return "its batches are worked on in parts";
  if (!parts_.optimizer.capturable()) {
    return concat("optimizer '", options_.optimizer, "' has steps that cannot be");
  }
  return "";
}

std::int64_t Trainer::graph_replays() const {
  return replays_before_ + (recorded_ ? recorded_->replays() : 0);
}

const StepResult& Trainer::work_on_recorded(const SampleList& batch, std::int64_t number,
                                            std::int64_t group_size) {
  if (number == 0) earlier_.clear();
  if (adds_up() && number == 0) {
    const at::NoGradGuard no_grad;
    share_.fill_(1 / static_cast<double>(group_size));
  }
  const StepResult& result = recorded_->compute(batch, number == 0);
  // The next micro-batch may write over them.
  if (number + 1 < group_size) earlier_.push_back(copy_of(result.means));
  return result;
}

// All that is recorded of an update before its hooks.
StepResult Trainer::compute(const SampleList& batch) {
  parts_.optimizer.zero_grad();
  StepResult result = pass(batch, state_.progress.batch_in_epoch, /*divisor=*/1);
  finish(result);
  return result;
}

// What is recorded of that once the gradients are there.
void Trainer::finish(StepResult& result) {
  if (scaler_) scaler_->unscale_gradients(parts_.optimizer);
  if (!options_.gradients_are_read) clip(result);
  if (scaler_) scaler_->update();  // which SplitStep takes back where the update is done again
}

// What is recorded of an update after its hooks.
void Trainer::take_step(const StepResult& result) {
  guarded(hook_of_optimizer("step()"), [&] {
    const at::NoGradGuard no_grad;
    if (skips_on_device()) {
      buffers_->restore_where(scaler_->overflow());
      auto& optimizer = dynamic_cast<DeviceSkip&>(parts_.optimizer);
      // One that cannot now, for a gradient that its kernels do not take, is not recorded.
      if (!optimizer.skip_where(scaler_->overflow()) && scaler_->overflowed()) return;
    }
    if (result.scale.defined()) scale_gradients(parts_.optimizer, result.scale);
    parts_.optimizer.step();
  });
}

// Does the device leave out the step of an update that overflows, without anybody waiting for it?
bool Trainer::skips_on_device() const { return scaler_ && recorded_ && !reads_overflow_; }

}  // namespace pergola::host
