// SPDX-License-Identifier: BSD-3-Clause
// Callbacks: what happens around training besides training. Hooks have MMF's names (MMF.md §7.1);
// each is called for all callbacks in the order of the list (host/docs/architecture.md), on the
// training thread:
//
//   on_init_start, a checkpoint is loaded, on_init_end
//   on_train_start
//     each update: on_update_start
//                    each batch: on_batch_start, forward, backward, on_batch_end
//                  gradients are clipped, on_step_start, the optimizer's step, on_update_end
//                  when validation is due: on_validation_start,
//                    each batch: on_validation_batch_start, forward, on_validation_batch_end
//                    on_validation_end
//                  on_update_complete
//   on_train_end
//   each split after training: on_test_start, on_test_batch_start, on_test_batch_end, on_test_end,
//                    with on_prediction_start before and on_prediction_end after all of these when
//                    its predictions are written
//   on_exception, when any of this failed
//   teardown
//
// The batches that are tried before training call none of them, and commands that do not train have
// no callbacks.
#pragma once

#include "pergola/config.h"
#include "pergola/model_output.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace pergola {

class BaseModel;

// How far training is; saved whole in every checkpoint.
struct Progress {
  std::int64_t epoch = 0;           // full passes over the training split that are done
  std::int64_t update = 0;          // updates done; one whose step was skipped counts
  std::int64_t batch_in_epoch = 0;  // batches of this epoch done
  std::int64_t samples_seen = 0;    // samples trained on
};

// What a hook may look at, and the things that it may ask for.
struct TrainerState {
  Progress progress;
  std::int64_t max_updates = 0;
  std::filesystem::path run_dir;
  BaseModel* model = nullptr;  // borrowed; never null in a hook
  // The L2 norm of all gradients of the update in hand before they are clipped, 0-d on the device;
  // undefined before on_step_start, and where neither clipping nor a callback needs it.
  at::Tensor grad_norm = {};
  // Set it in on_batch_end or on_step_start, and this update changes no weight: the optimizer, the
  // averaged weights, the model's buffers and the meters stay as they were, while the batches count
  // as seen.
  bool skip_step = false;
  // Set it, and training ends after this update. Set before the end of on_update_end, it makes this
  // update the last one in every way: with its log line and its validation.
  bool should_stop = false;
};

// Named numbers of one point in time: "val/easy_vqa/accuracy" → 0.93.
using Numbers = std::map<std::string, double>;

class PERGOLA_API Callback {
 public:
  Callback();
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
  virtual ~Callback();

  virtual void on_init_start(TrainerState& state);
  virtual void on_init_end(TrainerState& state);
  virtual void on_train_start(TrainerState& state);
  virtual void on_update_start(TrainerState& state);
  virtual void on_batch_start(TrainerState& state, const SampleList& batch);
  // `output` of this batch, losses included; values are still on the device, here and below.
  virtual void on_batch_end(TrainerState& state, const SampleList& batch,
                            const ModelOutput& output);
  // All gradients of the update are there, clipped.
  virtual void on_step_start(TrainerState& state);
  // `batch` and `output` of the last batch of the update.
  virtual void on_update_end(TrainerState& state, const SampleList& batch,
                             const ModelOutput& output);
  virtual void on_validation_start(TrainerState& state);
  virtual void on_validation_batch_start(TrainerState& state, const SampleList& batch);
  virtual void on_validation_batch_end(TrainerState& state, const SampleList& batch,
                                       const ModelOutput& output);
  virtual void on_validation_end(TrainerState& state, const Numbers& metrics);
  // The last hook of an update, after its validation: what is saved here resumes with the next one.
  virtual void on_update_complete(TrainerState& state);
  virtual void on_train_end(TrainerState& state);
  virtual void on_prediction_start(TrainerState& state);
  virtual void on_test_start(TrainerState& state);
  virtual void on_test_batch_start(TrainerState& state, const SampleList& batch);
  virtual void on_test_batch_end(TrainerState& state, const SampleList& batch,
                                 const ModelOutput& output);
  virtual void on_test_end(TrainerState& state, const Numbers& metrics);
  virtual void on_prediction_end(TrainerState& state);
  // After an error, before it is reported; must not throw. Called for all, the one that failed too.
  virtual void on_exception(TrainerState& state, const std::string& message) noexcept;
  // The run is over, whatever its end; must not throw.
  virtual void teardown(TrainerState& state) noexcept;

  // What a resumed run needs; saved under the callback's key. Floats that are not finite come back
  // as null.
  [[nodiscard]] virtual Value state_dict() const;
  virtual void load_state_dict(const Value& state);
  // The same for tensors, which may share memory with what the callback goes on to change. Loading
  // throws Error{kCheckpoint} for tensors that do not fit.
  [[nodiscard]] virtual std::map<std::string, at::Tensor> tensors() const;
  virtual void load_tensors(const std::map<std::string, at::Tensor>& tensors);
};

}  // namespace pergola
