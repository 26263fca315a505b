// SPDX-License-Identifier: BSD-3-Clause
// What a Trainer does in an update: batches, forward, backward, step.
#include "host/device/autocast.h"
#include "host/device/device.h"
#include "host/support/log.h"
#include "host/train/clip.h"
#include "host/train/evaluation.h"
#include "host/train/trainer.h"
#include "host/train/weight_average.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <utility>

namespace pergola::host {

// `count` micro-batches whose gradients add up; the last one is left in `batch`.
const StepResult& Trainer::run_batches(std::int64_t count, SampleList& batch) {
  const StepResult* result = nullptr;
  for (std::int64_t i = 0; i < count; ++i) {
    parts_.batches.keep_pace();  // a wait for the device, not for data
    {
      const auto timed = times_.measure(Phase::kData);
      std::optional<SampleList> loaded = next_batch(parts_.batches);
      PERGOLA_ASSERT(loaded.has_value());
      batch = split_ ? split_->to_device(*loaded)
                     : guarded(Hook{"the copy of a batch to the device"}, [&] {
                         return std::move(*loaded).to(parts_.device, /*non_blocking=*/true);
                       });
    }
    notify("on_batch_start",
           [&](Callback& callback, TrainerState& state) { callback.on_batch_start(state, batch); });
    result = &work_on(batch, i, count);
    state_.progress.batch_in_epoch += 1;
    state_.progress.samples_seen += batch.batch_size();
    samples_this_run_ += batch.batch_size();
    notify("on_batch_end", [&](Callback& callback, TrainerState& state) {
      callback.on_batch_end(state, batch, result->output);
    });
    judge_anomaly();
  }
  return *result;
}

std::unique_ptr<SplitStep> Trainer::make_split_step() {
  SplitStep::Work work;
  work.pass = [this](const SampleList& part, std::int64_t batch_idx, double divisor) {
    return pass(part, batch_idx, divisor);
  };
  work.take = [this](StepResult result) {
    if (own_.means.samples > 0) earlier_.push_back(std::move(own_.means));
    own_ = std::move(result);
  };
  work.restart = [this] {
    parts_.optimizer.zero_grad();
    if (buffers_) buffers_->restore();
    if (scaler_) scaler_->restore();
    earlier_.clear();
    own_ = StepResult();
    anomaly_.clear();
  };
  work.drop_recordings = [this] {
    if (!recorded_) return false;
    const bool held = recorded_->holds_recordings();
    replays_before_ += recorded_->replays();
    recorded_.reset();  // work stays on its stream, to which batches were handed over
    share_.reset();
    parts_.recorder->release();
    if (held || options_.graphs_are_required) {
      tell_not_recorded(std::string(key_of(parts_.model)),
                        "memory ran out, of which its recordings hold some",
                        options_.graphs_are_required);
    }
    return held;
  };
  return std::make_unique<SplitStep>(parts_.model, parts_.device, std::move(work));
}

// Gradients of micro-batch `number` of so many.
const StepResult& Trainer::work_on(const SampleList& batch, std::int64_t number,
                                   std::int64_t group_size) {
  if (!split_) return work_on_whole(batch, number, group_size);
  const StepResult* result = nullptr;
  const bool is_in_parts = split_->run(batch, {number, group_size, state_.progress.batch_in_epoch},
                                       [&] { result = &work_on_whole(batch, number, group_size); });
  if (!is_in_parts) return *result;
  own_.output = split_->output();
  return own_;
}

const StepResult& Trainer::work_on_whole(const SampleList& batch, std::int64_t number,
                                         std::int64_t group_size) {
  if (recorded_) {
    const auto timed = times_.measure(Phase::kForward);
    return work_on_recorded(batch, number, group_size);
  }
  if (number == 0) {
    earlier_.clear();
    parts_.optimizer.zero_grad();
  } else {
    earlier_.push_back(std::move(own_.means));
  }
  own_ = pass(batch, state_.progress.batch_in_epoch, static_cast<double>(group_size));
  return own_;
}

// Of samples whose loss counts as one part in `divisor` of the update's.
StepResult Trainer::pass(const SampleList& batch, std::int64_t batch_idx, double divisor) {
  StepResult result;
  result.output = forward(batch, batch_idx);
  result.means = guarded(hook_of_model("the mean of the losses"),
                         [&] { return means_of(*result.output.losses, batch.batch_size()); });
  backward(result.output, divisor);
  return result;
}

ModelOutput Trainer::forward(const SampleList& batch, std::int64_t batch_idx) {
  const auto timed = times_.measure(Phase::kForward);
  watch_->forget();
  const AutocastScope autocast(parts_.device, options_.precision);
  ModelOutput output = guarded(hook_of_model("training_step()"),
                               [&] { return parts_.model.training_step(batch, batch_idx); });
  if (!output.losses.has_value() || output.losses->empty()) {
    throw Error(
        ErrorKind::kConfig,
        "there is nothing to train on: the model returned no losses, and its "
        "config names none that apply; set losses = [\"logit_bce\"] in model_config, or let the "
        "data set give targets");
  }
  return output;
}

void Trainer::backward(const ModelOutput& output, double divisor) {
  const auto timed = times_.measure(Phase::kBackward);
  const at::Tensor loss = guarded(hook_of_model("the mean of the losses"),
                                  [&] { return share_of(total_loss(*output.losses), divisor); });
  note_anomaly(watch_->check_forward(loss, "training_step()"));
  guarded(hook_of_model("the backward pass"),
          [&] { (scaler_ ? scaler_->scale(loss) : loss).backward(); });
  if (!scaler_) note_anomaly(watch_->check_backward("the backward pass"));
}

// As a product, in the loss's type, so that both ways give the same bits.
at::Tensor Trainer::share_of(const at::Tensor& total, double divisor) const {
  // What is recorded reads it from memory: the last update of an epoch may have fewer batches.
  if (recorded_ && share_.defined()) return total * share_.to(total.scalar_type());
  return divisor == 1 ? total : total * at::scalar_tensor(1 / divisor, total.scalar_type());
}

void Trainer::note_anomaly(const std::string& found) {
  if (anomaly_.empty()) anomaly_ = found;
}

void Trainer::judge_anomaly() {
  if (anomaly_.empty() || state_.skip_step) return;
  const std::int64_t update = state_.progress.update + 1;
  if (options_.exit_on_nan_losses) {
    throw Error(ErrorKind::kNan, "not a finite number at update ", update, ": ", anomaly_,
                kNotFiniteAdvice);
  }
  if (std::exchange(anomaly_told_, true)) return;
  log::warning("[nan] update ", update, ": ", anomaly_,
               "; training goes on, as training.exit_on_nan_losses = false says, and later ones "
               "are not told");
}

void Trainer::step(const StepResult& result) {
  const auto timed = times_.measure(Phase::kOptimizer);
  const bool overflow = prepare_gradients(result);
  call("on_step_start", &Callback::on_step_start);
  rate_.set(state_.progress.update);
  if (overflow || state_.skip_step) {
    if (buffers_) buffers_->restore();
    if (state_.skip_step) return;
    for (const LossMeans& means : earlier_) meter_.add(means);
    meter_.add(result.means);
    return;
  }
  for (const LossMeans& means : earlier_) meter_.add(means);
  if (recorded_) {
    recorded_->apply();
  } else {
    take_step(result);
  }
  if (!recorded_ || adds_up()) meter_.add_values(result.means);
  meter_.count(result.means);
  if (parts_.average != nullptr) parts_.average->update(state_.progress.update + 1);
}

// Makes the gradients ready for the step. True when they are known to have overflowed in fp16: then
// there is none.
bool Trainer::prepare_gradients(const StepResult& result) {
  const StepResult* found = &result;
  if (recorded_ && adds_up()) found = &recorded_->finish();
  if (scaler_ && !recorded_) {
    scaler_->unscale_gradients(parts_.optimizer);
    scaler_->update();
  }
  // A log line says what is so of its update, and stops a run whose gradients stay infinite.
  if (scaler_ && (!skips_on_device() || log_due_after(state_.progress.update + 1)) &&
      scaler_->overflowed()) {
    return true;
  }
  const bool is_done = recorded_ && !options_.gradients_are_read;  // by finish()
  if (!is_done) clip(own_);
  state_.grad_norm = is_done ? found->norm : own_.norm;
  return false;
}

// What the step multiplies by, it need not find multiplied.
void Trainer::clip(StepResult& result) {
  if (options_.max_grad_l2_norm) {
    result.norm = grad_norm(parts_.optimizer);
    result.scale = clip_scale(result.norm, *options_.max_grad_l2_norm);
    const bool can_wait = !options_.gradients_are_read && !options_.clip_grad_value &&
                          result.scale.device() == parts_.device;
    if (!can_wait) multiply_gradients(parts_.optimizer, std::exchange(result.scale, at::Tensor()));
  } else if (options_.measure_grad_norm) {
    result.norm = grad_norm(parts_.optimizer);
  }
  if (options_.clip_grad_value) clip_grad_value(parts_.optimizer, *options_.clip_grad_value);
}

}  // namespace pergola::host
