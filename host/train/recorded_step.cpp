// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/recorded_step.h"

#include "host/model/guard.h"
#include "host/support/log.h"
#include "host/train/recorded_shape.h"
#include "host/train/recording.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

namespace pergola::host {
namespace {

std::vector<at::Tensor> parameters_of(const Optimizer& optimizer) {
  std::vector<at::Tensor> parameters;
  for (const ParameterGroup& group : optimizer.groups()) {
    parameters.insert(parameters.end(), group.parameters.begin(), group.parameters.end());
  }
  return parameters;
}

bool same_pattern(const std::vector<at::Tensor>& gradients, const std::vector<bool>& defined) {
  return std::equal(gradients.begin(), gradients.end(), defined.begin(), defined.end(),
                    [](const at::Tensor& one, bool is) { return one.defined() == is; });
}

}  // namespace

void detach_output(ModelOutput& output) {
  const auto cut = [](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.detach();
  };
  cut(output.scores);
  for (auto& [key, field] : output.fields) cut(field);
  if (!output.losses) return;
  for (auto& [key, loss] : *output.losses) cut(loss);
}

RecordedStep::RecordedStep(GraphRecorder& recorder, BaseModel& model, Optimizer& optimizer,
                           c10::Device device, Work work, Options options)
    : recorder_(recorder),
      optimizer_(optimizer),
      device_(device),
      work_(std::move(work)),
      options_(std::move(options)),
      parameters_(parameters_of(optimizer)),
      facts_(model) {}

RecordedStep::~RecordedStep() { forget(); }

const StepResult& RecordedStep::compute(const SampleList& batch, bool is_first) {
  if (given_up_) forget();
  result_ = StepResult();  // its memory is of use now
  if (options_.adds_up) return add_up(batch, is_first);
  current_ = paused_ || given_up_ ? nullptr : find(batch);
  if (current_ == nullptr || current_->warm_ups < kWarmUps) return compute_by_operations(batch);
  Recording& recording = *current_;
  if (!recording.compute && !record_compute(recording)) return compute_by_operations(batch);
  put(recording.gradients);
  return replay_compute(recording);
}

// A replay of the first half by hand, with its batch: those of all shapes share their memory.
class RecordedStep::WithItsBatch final : public RecordedWork {
 public:
  WithItsBatch(RecordedWork& work, const std::vector<at::Tensor>& batch)
      : work_(work), batch_(batch) {}
  void replay(const std::vector<at::Tensor>& /*from*/) override { work_.replay(batch_); }

 private:
  RecordedWork& work_;
  std::vector<at::Tensor> batch_;
};

void RecordedStep::note_replays(std::vector<RecordedWork*>* into) {
  if (into != nullptr) {
    for (const auto& recording : recordings_) recording->noted.reset();
  }
  noted_ = into;
}

void RecordedStep::replay(RecordedWork& work, const Hook& hook) {
  guarded(hook, [&] { work.replay(); });
  if (noted_ != nullptr) noted_->push_back(&work);
}

const StepResult& RecordedStep::replay_compute(Recording& recording) {
  guarded(options_.compute_hook, [&] { recording.compute->replay(tensors_.tensors); });
  if (noted_ != nullptr) {
    if (!recording.noted) {
      recording.noted = std::make_unique<WithItsBatch>(*recording.compute, tensors_.tensors);
    }
    noted_->push_back(recording.noted.get());
  }
  if (!options_.copies_output) return recording.recorded;
  recording.handed_out = recording.recorded;
  recording.handed_out.output =
      guarded(options_.compute_hook, [&] { return copy_of(recording.recorded.output); });
  return recording.handed_out;
}

const StepResult& RecordedStep::compute_by_operations(const SampleList& batch) {
  result_ = work_.compute(batch);
  return result_;
}

void RecordedStep::apply() {
  if (options_.adds_up) return apply_sum();
  if (current_ == nullptr || !current_->compute) {
    work_.apply(result_);
    if (current_ != nullptr) note_warm_up(*current_);
    return;
  }
  Recording& recording = *current_;
  if (!has(recording.gradients)) {  // a hook has put others in their place
    work_.apply(recording.recorded);
    return;
  }
  guarded(options_.apply_hook, [&] { optimizer_.before_replay(); });
  if (!recording.apply && !record_apply(recording)) {
    work_.apply(recording.recorded);
    return;
  }
  replay(*recording.apply, options_.apply_hook);
  if (replays_++ == 0) log::info("[graph] updates of model '", options_.model, "' are replayed");
}

// Null for a batch whose update is not to be recorded.
RecordedStep::Recording* RecordedStep::find(const SampleList& batch) {
  if (!facts_.hold()) {
    forget();
    facts_.renew();
  }
  tensors_ = reader_.read(batch);
  const auto found = std::find_if(recordings_.begin(), recordings_.end(),
                                  [&](const auto& one) { return one->shape.is_like(tensors_); });
  if (found == recordings_.end()) return add(tensors_);
  std::rotate(recordings_.begin(), found, found + 1);
  return recordings_.front().get();
}

RecordedStep::Recording* RecordedStep::add(BatchTensors tensors) {
  std::string problem = tensors.problem(device_);
  if (!problem.empty()) problem = concat("of a batch, ", problem);
  const std::string beside = facts_.parameter_beside(parameters_);
  if (!beside.empty()) {
    problem = concat("its parameter '", beside, "' requires a gradient, and no group of the ",
                     "optimizer has it");
  }
  if (!problem.empty()) {
    give_up(problem);
    return nullptr;
  }
  if (recordings_.size() == kMostShapes) {
    if (!std::exchange(told_of_shapes_, true)) {
      log::info("[graph] updates of ", kMostShapes, " shapes of batches are recorded; those of ",
                "further shapes are not");
    }
    return nullptr;
  }
  auto recording = std::make_unique<Recording>();
  recording->shape = std::move(tensors);
  // Memory may run out here as it may in the work itself.
  recording->batch =
      guarded(options_.compute_hook, [&] { return memory_.place(recording->shape); });
  recordings_.insert(recordings_.begin(), std::move(recording));
  return recordings_.front().get();
}

void RecordedStep::note_warm_up(Recording& recording) {
  ++recording.warm_ups;
  if (recording.warm_ups < kWarmUps) return;
  recording.has_gradient.clear();
  for (const at::Tensor& gradient : gradients()) {
    recording.has_gradient.push_back(gradient.defined());
  }
}

bool RecordedStep::record_compute(Recording& recording) {
  std::unique_ptr<RecordedWork> work = record(
      [this, &recording] {
        recording.recorded = work_.compute(recording.batch);
        detach_output(recording.recorded.output);
        recording.gradients = gradients();
      },
      recording.shape.tensors);
  // The state that an optimizer makes for a first gradient is not to be made by each replay.
  if (work && !same_pattern(recording.gradients, recording.has_gradient)) {
    work.reset();
    give_up("not always the same of its parameters get a gradient");
  }
  if (work) {
    recording.compute = std::move(work);
    return true;
  }
  forget();
  return false;
}

// Where it fails, the result of the first half is still needed: all is dropped by the next one.
bool RecordedStep::record_apply(Recording& recording) {
  recording.apply = record([this, &recording] { work_.apply(recording.recorded); });
  if (recording.apply) release_gradients(recording);
  return recording.apply != nullptr;
}

// Null where it cannot be.
std::unique_ptr<RecordedWork> RecordedStep::record(const std::function<void()>& work,
                                                   const std::vector<at::Tensor>& inputs) {
  if (noted_ != nullptr) noted_->push_back(nullptr);
  // For recorders that do the work as they record it.
  if (!inputs.empty()) copy_tensors(tensors_.tensors, inputs);
  RecordingAttempt attempt = try_to_record(recorder_, device_, work, inputs);
  if (!attempt.work) give_up(attempt.problem);
  return std::move(attempt.work);
}

// Gradients are as large as the model. Each replay of the first half writes all of them before
// anybody reads them, so the recordings of all shapes may have them in the same memory.
void RecordedStep::release_gradients(Recording& recording) {
  for (at::Tensor& gradient : recording.gradients) {
    if (gradient.defined() && gradient.layout() == at::kStrided) {
      gradient = recorder_.without_hold(gradient);
    }
  }
  put(recording.gradients);
}

void RecordedStep::put(const std::vector<at::Tensor>& gradients) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().is_same(gradients[i])) {
      parameters_[i].mutable_grad() = gradients[i];
    }
  }
}

bool RecordedStep::has(const std::vector<at::Tensor>& gradients) const {
  return std::equal(parameters_.begin(), parameters_.end(), gradients.begin(), gradients.end(),
                    [](const at::Tensor& parameter, const at::Tensor& one) {
                      return parameter.grad().is_same(one);
                    });
}

bool RecordedStep::holds_recordings() const {
  return std::any_of(recordings_.begin(), recordings_.end(),
                     [](const auto& one) { return one->compute != nullptr; });
}

void RecordedStep::forget() {
  if (recordings_.empty()) return;
  if (noted_ != nullptr) noted_->push_back(nullptr);
  current_ = nullptr;
  if (!options_.adds_up) optimizer_.zero_grad();  // they may be in the memory of a recording
  recordings_.clear();
  end_ = nullptr;
  ends_.clear();
  ends_done_ = 0;
  stepped_.clear();
  sums_.reset();  // gradients that are there hold their memory
}

void RecordedStep::give_up(const std::string& reason) {
  given_up_ = true;
  recorder_.note_told();
  tell_not_recorded(options_.model, reason, options_.is_required);
}

void tell_not_recorded(const std::string& model, const std::string& reason, bool is_required) {
  if (is_required) {
    throw Error(ErrorKind::kConfig, "training.cuda_graphs = true, but model '", model,
                "' is not recorded: ", reason, "; set it to \"auto\" or false");
  }
  log::info("[graph] model '", model, "' is not recorded: ", reason,
            "; training goes on without CUDA graphs");
}

std::vector<at::Tensor> RecordedStep::gradients() const {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters_.size());
  for (const at::Tensor& parameter : parameters_) gradients.push_back(parameter.grad());
  return gradients;
}

}  // namespace pergola::host
