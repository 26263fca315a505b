// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/recorded_forward.h"

#include "host/model/guard.h"
#include "host/support/log.h"
#include "host/train/recorded_step.h"
#include "host/train/recording.h"
#include "pergola/error.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/hash.h>

#include <algorithm>
#include <utility>

namespace pergola::host {
namespace {

// So many shapes are counted at once; a count that is forgotten costs some ordinary steps.
constexpr std::size_t kMostCounted = 4096;

// The same of batches that are alike; of others mostly another, and what is counted by it is
// compared before it is used.
std::size_t hash_of(const BatchTensors& batch, std::string_view hook) {
  std::size_t hash = std::hash<std::string_view>()(hook);
  const auto add = [&hash](std::size_t part) { hash = c10::hash_combine(hash, part); };
  add(std::hash<std::string>()(batch.dataset_name));
  add(std::hash<std::string>()(batch.dataset_type));
  for (const std::string& name : batch.names) add(std::hash<std::string>()(name));
  for (const at::Tensor& tensor : batch.tensors) {
    add(static_cast<std::size_t>(tensor.scalar_type()));
    for (const std::int64_t size : tensor.sizes()) add(static_cast<std::size_t>(size));
    for (const std::int64_t stride : tensor.strides()) add(static_cast<std::size_t>(stride));
  }
  return hash;
}

}  // namespace

// Of batches of one shape.
struct RecordedForward::Recording {
  BatchTensors shape;  // its tensors are those that the replay reads
  std::string hook;    // whose work it is
  SampleList batch;    // of these tensors
  std::unique_ptr<RecordedWork> work;
  ModelOutput output;  // what it writes
};

RecordedForward::RecordedForward(GraphRecorder& recorder, BaseModel& model, c10::Device device,
                                 Options options)
    : recorder_(recorder), device_(device), options_(std::move(options)), facts_(model) {}

RecordedForward::~RecordedForward() = default;

ModelOutput RecordedForward::run(const SampleList& batch, const Hook& hook, const Work& work,
                                 Output output) {
  std::vector<at::Tensor> inputs;
  Recording* const recording = paused_ || given_up_ ? nullptr : find(batch, hook, work, inputs);
  if (recording == nullptr) return work(batch);
  guarded(hook, [&] { recording->work->replay(inputs); });
  if (replays_++ == 0) {
    log::info("[graph] predictions of model '", options_.model, "' are replayed");
  }
  return output == Output::kOwn ? copy_of(recording->output) : recording->output;
}

// The recording for such a batch, and the tensors of this one; null where there is none.
RecordedForward::Recording* RecordedForward::find(const SampleList& batch, const Hook& hook,
                                                  const Work& work,
                                                  std::vector<at::Tensor>& inputs) {
  if (!facts_.hold()) {
    forget();
    facts_.renew();
  }
  BatchTensors tensors = reader_.read(batch);
  inputs = tensors.tensors;
  const auto found = std::find_if(recordings_.begin(), recordings_.end(), [&](const auto& one) {
    return one->hook == hook.name && one->shape.is_like(tensors);
  });
  if (found == recordings_.end()) {
    return is_due(tensors, hook.name) ? record(std::move(tensors), hook, work) : nullptr;
  }
  std::rotate(recordings_.begin(), found, found + 1);
  return recordings_.front().get();
}

// Counts a batch of a shape that has no recording. Is it to be recorded now?
bool RecordedForward::is_due(const BatchTensors& tensors, std::string_view hook) {
  if (seen_.size() >= kMostCounted) seen_.clear();
  int& seen = seen_[hash_of(tensors, hook)];
  if (seen < kOrdinarySteps) {
    ++seen;
    return false;
  }
  if (recordings_.size() < RecordedStep::kMostShapes) return true;
  if (!std::exchange(told_of_shapes_, true)) {
    log::info("[graph] predictions of ", RecordedStep::kMostShapes, " shapes of batches are ",
              "recorded; those of further shapes are not");
  }
  return false;
}

RecordedForward::Recording* RecordedForward::record(BatchTensors shape, const Hook& hook,
                                                    const Work& work) {
  const std::string problem = shape.problem(device_);
  if (!problem.empty()) {
    give_up(concat("of a batch, ", problem));
    return nullptr;
  }
  auto recording = std::make_unique<Recording>();
  recording->shape = std::move(shape);
  recording->hook = hook.name;
  recording->batch = memory_.place(recording->shape);
  RecordingAttempt attempt = try_to_record(
      recorder_, device_, [&made = *recording, work] { made.output = work(made.batch); },
      recording->shape.tensors);
  if (!attempt.work) {
    give_up(attempt.problem);
    return nullptr;
  }
  recording->work = std::move(attempt.work);
  recordings_.insert(recordings_.begin(), std::move(recording));
  return recordings_.front().get();
}

// Shapes are counted anew: libraries may have to choose algorithms again.
void RecordedForward::forget() {
  recordings_.clear();
  seen_.clear();
}

void RecordedForward::give_up(const std::string& reason) {
  given_up_ = true;
  forget();
  if (recorder_.is_told()) return;
  recorder_.note_told();
  tell_predictions_not_recorded(options_.model, reason, options_.is_required);
}

void RecordedForward::choose_stream(std::optional<OnStream>& scope) {
  if (device_.is_cpu() || given_up_) return;
  const c10::impl::VirtualGuardImpl device(device_.type());
  if (device.getStream(device_) != device.getDefaultStream(device_)) return;
  if (stream_) {
    scope.emplace(*stream_);
  } else {
    scope.emplace(device_);
    stream_ = scope->stream();
  }
}

void tell_predictions_not_recorded(const std::string& model, const std::string& reason,
                                   bool is_required) {
  const std::string line =
      concat("[graph] predictions of model '", model, "' are not recorded: ", reason,
             "; they are the same, but slower");
  if (is_required) {
    log::warning(line, " than training.cuda_graphs = true wants them");
  } else {
    log::info(line);
  }
}

}  // namespace pergola::host
