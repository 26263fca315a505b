// SPDX-License-Identifier: BSD-3-Clause
// Callbacks: what happens around training besides training. The host calls every hook of all
// callbacks in the order of the list: those of `training.callbacks`, logging and the progress bar,
// and last the one that saves checkpoints. All hooks run on the training thread:
//
//   on_train_start
//     each update: on_update_start, forward, backward, step, on_update_end,
//                  when validation is due: on_validation_start, validation, on_validation_end,
//                  on_update_complete
//   on_train_end, or on_exception
#pragma once

#include "pergola/config.h"
#include "pergola/model_output.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace pergola {

class BaseModel;

// How far training is; saved whole in every checkpoint.
struct Progress {
  std::int64_t epoch = 0;           // full passes over the training split that are done
  std::int64_t update = 0;          // optimizer steps done
  std::int64_t batch_in_epoch = 0;  // batches of this epoch done
  std::int64_t samples_seen = 0;    // samples trained on
};

// What a hook may look at, and the one thing that it may ask for.
struct TrainerState {
  Progress progress;
  std::int64_t max_updates = 0;
  std::filesystem::path run_dir;
  BaseModel* model = nullptr;  // borrowed; never null in a hook
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

  virtual void on_train_start(TrainerState& state);
  virtual void on_update_start(TrainerState& state);
  // `batch` and `output` of the last micro-batch, losses included; values are still on the device.
  virtual void on_update_end(TrainerState& state, const SampleList& batch,
                             const ModelOutput& output);
  virtual void on_validation_start(TrainerState& state);
  virtual void on_validation_end(TrainerState& state, const Numbers& metrics);
  // The last hook of an update, after its validation: what is saved here resumes with the next one.
  virtual void on_update_complete(TrainerState& state);
  virtual void on_train_end(TrainerState& state);
  // After an error, before it is reported; must not throw.
  virtual void on_exception(TrainerState& state, const std::string& message) noexcept;

  // What a resumed run needs; saved under the callback's key.
  [[nodiscard]] virtual Value state_dict() const;
  virtual void load_state_dict(const Value& state);
};

}  // namespace pergola
