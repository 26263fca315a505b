// SPDX-License-Identifier: BSD-3-Clause
// Predictions that are recorded once and then replayed (training.cuda_graphs; ADR 32): the same
// numbers as when a model's step is done operation by operation, without what the CPU spends on
// each of its operations.
//
// Batches of each shape have a recording of their own, made after some steps that are not recorded:
// a shape that is seen less often would not pay. What cannot be recorded is told once, and done
// operation by operation from then on. Weights are read where they are at each replay, so they may
// learn in between; where their memory is another, as with averaged weights, all is recorded anew.
// What a model decides on the CPU stays as it was when it was recorded, as in RecordedStep.
// Borrows its parts; training thread.
#pragma once

#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "host/support/hook.h"
#include "host/train/batch_tensors.h"
#include "host/train/model_facts.h"
#include "pergola/base_model.h"
#include "pergola/model_output.h"

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pergola::host {

class RecordedForward {
 public:
  // The model's step for a batch, operation by operation. It is kept: it owns what it captures, or
  // that lives as long as the model.
  using Work = std::function<ModelOutput(const SampleList&)>;
  struct Options {
    std::string model;         // its key, for messages
    bool is_required = false;  // what cannot be recorded is a warning
  };
  // Whose memory a result is: of the caller alone, or valid until the next batch.
  enum class Output { kOwn, kShared };

  // Steps of a shape that are done before it is recorded.
  static constexpr int kOrdinarySteps = 8;

  RecordedForward(GraphRecorder& recorder, BaseModel& model, c10::Device device, Options options);
  ~RecordedForward();
  RecordedForward(const RecordedForward&) = delete;
  RecordedForward& operator=(const RecordedForward&) = delete;

  // work(batch), or a replay of it, which `hook` is said to run. Works of two hooks have two
  // recordings. Throws what `work` throws when it is not recorded.
  // REQUIRES: no gradient is recorded; a hook's work is the same in each call.
  [[nodiscard]] ModelOutput run(const SampleList& batch, const Hook& hook, const Work& work,
                                Output output);

  // Recording takes a stream that is not the default: fills `scope` where the thread is on that
  // one, and always with the same stream, so that memory is of use again.
  void choose_stream(std::optional<OnStream>& scope);

  // Done operation by operation, from the next batch on, until it is called again.
  void pause(bool paused) noexcept { paused_ = paused; }
  // Batches whose step was replayed.
  [[nodiscard]] std::int64_t replays() const noexcept { return replays_; }

 private:
  struct Recording;

  Recording* find(const SampleList& batch, const Hook& hook, const Work& work,
                  std::vector<at::Tensor>& inputs);
  [[nodiscard]] bool is_due(const BatchTensors& tensors, std::string_view hook);
  Recording* record(BatchTensors shape, const Hook& hook, const Work& work);
  void forget();
  void give_up(const std::string& reason);

  GraphRecorder& recorder_;
  c10::Device device_;
  Options options_;
  ModelFacts facts_;
  BatchReader reader_;
  BatchMemory memory_;
  std::vector<std::unique_ptr<Recording>> recordings_;  // the last one used is the first
  std::unordered_map<std::size_t, int> seen_;  // how often, of shapes without one, by their hash
  std::optional<c10::Stream> stream_;          // its own, once it was on the default one
  std::int64_t replays_ = 0;
  bool paused_ = false;
  bool given_up_ = false;
  bool told_of_shapes_ = false;
};

// "[graph] predictions of model 'm' are not recorded: <reason>; ...": a line of the log, and a
// warning where it is required, since the predictions are the same.
void tell_predictions_not_recorded(const std::string& model, const std::string& reason,
                                   bool is_required);

}  // namespace pergola::host
