// SPDX-License-Identifier: BSD-3-Clause
// The exponential moving average of a model's weights (training.ema; Polyak averaging): smoother
// than the weights of any one update, and mostly better. Evaluations use it, and a checkpoint's
// model.safetensors holds it. Buffers are not averaged: the average goes with those that the model
// has (as torch's AveragedModel does by default). Borrows the model; training thread.
#pragma once

#include "host/config/run_config.h"
#include "pergola/base_model.h"
#include "pergola/state_dict.h"

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {

class WeightAverage {
 public:
  // Averages the parameters that require a gradient now; others are never trained. Until
  // config.start_update the average is the weights themselves.  REQUIRES: the model is on its
  // device, with the weights that the run begins with.
  WeightAverage(BaseModel& model, const EmaConfig& config);

  // After the step of update number `update` (1 is the first): average = decay * average +
  // (1 - decay) * weights, at every interval-th update after start_update. Not to be called for an
  // update whose step was skipped.
  void update(std::int64_t update);

  // While it lives, the model has the averaged weights, in the memory that all who use the weights
  // see; nothing is copied where a parameter has memory of its own. Then it has its weights back,
  // bit for bit, also when an exception passes. One at a time.
  class Use {
   public:
    explicit Use(WeightAverage& average);
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use();

   private:
    WeightAverage& average_;
    std::map<std::size_t, at::Tensor> kept_;  // weights of parameters that share their memory
  };
  [[nodiscard]] Use use() { return Use(*this); }

  // Of what is to be saved, `model` gets the averaged weights and `trainer` the model's own, as
  // "weights/<name>". Tensors are shared with both. Nothing while the average is the weights.
  void exchange(StateDict& model, StateDict& trainer) const;

  // Goes on from what take_average() gave of a checkpoint after `update` updates; where that is
  // nothing, the average begins with the weights, which one log line says. Throws
  // Error{kCheckpoint} for a tensor of another shape.  REQUIRES: the model has its own weights of
  // that checkpoint.
  void restore(const StateDict& average, std::int64_t update);

 private:
  void begin();

  BaseModel& model_;
  EmaConfig config_;
  std::map<std::string, std::size_t> places_;  // by name, in the two below
  std::vector<at::Tensor> parameters_;         // each once
  std::vector<at::Tensor> averages_;           // empty while the average is the weights
  bool in_use_ = false;
};

// Of a checkpoint that was read: gives `model` its own weights back, which exchange() had put into
// `trainer`, and returns the averaged ones by name; nothing for a checkpoint without an average.
// Throws Error{kCheckpoint} for weights that `model` does not have.
[[nodiscard]] StateDict take_average(StateDict& model, StateDict& trainer);

// Puts weights that are the model's own, and not the averaged ones, back to where take_average()
// finds them.
void put_own_weights(const StateDict& own, StateDict& trainer);

}  // namespace pergola::host
