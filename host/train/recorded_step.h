// SPDX-License-Identifier: BSD-3-Clause
// Updates that are recorded once and then replayed (training.cuda_graphs; ADR 32): the same numbers
// as when they are done operation by operation, without what the CPU spends on each. An update is
// two recordings, so that hooks stand where they always stand:
//
//   compute(batch)   gradients are dropped, forward, losses, backward, what clipping needs
//   hooks            which may skip what follows
//   apply()          the optimizer's step, the meter
//
// Where an update has several micro-batches, it is one recording for each shape of these, which add
// to the same gradients, and two for what comes after the last:
//
//   compute(batch, is_first), hooks   for each: forward, losses, backward
//   finish()                          what clipping needs
//   hooks
//   apply()                           the optimizer's step
//
// Batches of each shape have recordings of their own, made after three updates that are not
// recorded. What cannot be recorded is told once, and done operation by operation from then on.
// Whatever a model decides on the CPU stays as it was when it was recorded: a batch's number, a
// count of its own. Random numbers of the CPU, copies from and to it, and all that waits for the
// device are noticed. Borrows its parts; training thread.
#pragma once

#include "host/device/device.h"
#include "host/device/step_graph.h"
#include "host/support/hook.h"
#include "host/train/batch_tensors.h"
#include "host/train/model_facts.h"
#include "host/train/step_result.h"
#include "host/train/summed_gradients.h"
#include "pergola/base_model.h"
#include "pergola/optimizer.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

class RecordedStep {
 public:
  // The parts of an update, done operation by operation.
  struct Work {
    std::function<StepResult(const SampleList&)> compute;
    std::function<void(const StepResult&)> apply;
    // Where gradients add up: fills in what it finds of their sum; empty where that is nothing. The
    // result is what `apply` gets then.
    std::function<void(StepResult&)> finish = {};
  };
  struct Options {
    std::string model;       // its key, for messages
    Hook compute_hook = {};  // what runs, for those of a replay
    Hook apply_hook = {};
    bool is_required = false;    // what cannot be recorded is an error
    bool copies_output = false;  // hooks may keep what they are given
    bool adds_up = false;        // `compute` is of one of several micro-batches, and drops nothing
  };
  // Batches of so many shapes are recorded; others are done operation by operation.
  static constexpr std::size_t kMostShapes = 16;
  static constexpr int kWarmUps = 3;

  RecordedStep(GraphRecorder& recorder, BaseModel& model, Optimizer& optimizer, c10::Device device,
               Work work, Options options);
  ~RecordedStep();
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;

  // The first half, of the update or of its next micro-batch. The result is valid until the next
  // one, which writes into the same tensors. Throws what `work` throws when it is not recorded;
  // Error{kConfig} for what cannot be recorded, if it is required.
  const StepResult& compute(const SampleList& batch, bool is_first = true);
  // Where gradients add up, once all are there. The result is valid until the next one.
  const StepResult& finish();
  // The second half, of the last compute().
  void apply();

  // Done operation by operation, from the next update on, until it is called again.
  void pause(bool paused) noexcept { paused_ = paused; }
  // Is there a recording, which holds memory?
  [[nodiscard]] bool holds_recordings() const;
  // Drops all recordings: what they read or write is elsewhere now. Drops the gradients, too, but
  // for those that add up.
  void forget();

  // From now on each replay is noted in `into`, and null where something is recorded or dropped:
  // what was noted before may be no more. For those who replay the same by hand, with the first
  // batch of its shape that was noted, which is kept until the next call that begins; null ends it.
  void note_replays(std::vector<RecordedWork*>* into);
  // Updates whose two halves were replayed, or recorded.
  [[nodiscard]] std::int64_t replays() const noexcept { return replays_; }

 private:
  struct Recording;
  class WithItsBatch;
  // What comes after the last of several micro-batches, for one choice of parameters with
  // gradients.
  struct End {
    std::vector<at::Tensor> gradients;  // where the recordings find them
    std::unique_ptr<RecordedWork> finish;
    std::unique_ptr<RecordedWork> apply;
    StepResult result;  // what `finish` writes
  };

  Recording* find(const SampleList& batch);
  Recording* add(BatchTensors tensors);
  const StepResult& compute_by_operations(const SampleList& batch);
  bool record_compute(Recording& recording);
  bool record_apply(Recording& recording);
  std::unique_ptr<RecordedWork> record(const std::function<void()>& work,
                                       const std::vector<at::Tensor>& inputs = {});
  void replay(RecordedWork& work, const Hook& hook);
  void note_warm_up(Recording& recording);
  const StepResult& replay_compute(Recording& recording);
  void release_gradients(Recording& recording);
  // Where gradients add up (recorded_sum.cpp).
  const StepResult& add_up(const SampleList& batch, bool is_first);
  bool record_sum(Recording& recording);
  End* find_end();
  [[nodiscard]] bool can_record_end() const;
  void apply_sum();
  [[nodiscard]] std::vector<at::Tensor> gradients() const;
  void put(const std::vector<at::Tensor>& gradients);
  [[nodiscard]] bool has(const std::vector<at::Tensor>& gradients) const;
  void give_up(const std::string& reason);

  GraphRecorder& recorder_;
  Optimizer& optimizer_;
  c10::Device device_;
  Work work_;
  Options options_;
  std::vector<at::Tensor> parameters_;  // of the optimizer
  ModelFacts facts_;
  BatchReader reader_;
  BatchMemory memory_;
  std::vector<std::unique_ptr<Recording>> recordings_;  // the last one used is the first
  Recording* current_ = nullptr;  // of the update in hand; null: it is done operation by operation
  BatchTensors tensors_;          // of the batch in hand
  StepResult result_;             // of an update that is not recorded
  std::optional<SummedGradients> sums_;  // where gradients add up, once a recording needs them
  std::vector<bool> stepped_;            // whether the optimizer has state of these parameters
  int ends_done_ = 0;                    // without a recording
  std::vector<std::unique_ptr<End>> ends_;
  End* end_ = nullptr;   // of the update in hand; null: it is done operation by operation
  StepResult finished_;  // then
  std::int64_t replays_ = 0;
  std::vector<RecordedWork*>* noted_ = nullptr;  // null: nobody wants to know
  bool paused_ = false;
  bool given_up_ = false;
  bool told_of_shapes_ = false;
};

// "[graph] model 'm' is not recorded: <reason>; ...": a line of the log, or, where it is required,
// an Error{kConfig}.
void tell_not_recorded(const std::string& model, const std::string& reason, bool is_required);

}  // namespace pergola::host
