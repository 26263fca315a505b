// SPDX-License-Identifier: BSD-3-Clause
// The training loop. It trains, validates when that is due, and calls the callbacks; saving,
// logging and the progress bar are callbacks. Its whole state goes into a checkpoint and comes back
// from one, bit for bit. Borrows its parts. Training thread.
//
//   on_train_start
//   make up for a validation that a signal cut short
//   while updates are left, and nobody asked to stop:
//     begin the epoch at the batch where it was left
//     while batches are left: one update
//   on_train_end
#pragma once

#include "host/checkpoint/checkpoint.h"
#include "host/data/loader.h"
#include "host/train/meter.h"
#include "pergola/base_model.h"
#include "pergola/callback.h"
#include "pergola/optimizer.h"
#include "pergola/scheduler.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

struct TrainerOptions {
  std::int64_t max_updates = 0;
  std::int64_t update_frequency = 1;     // micro-batches in an update
  std::int64_t evaluation_interval = 0;  // updates between validations; 0 = at each epoch's end
  std::int64_t log_interval = 100;       // updates between log lines
  std::optional<double> max_grad_l2_norm = {};
  std::optional<double> clip_grad_value = {};
  std::string scheduler = {};  // its name, for messages
  std::string criteria = {};   // which number of a validation the scheduler observes
  bool exit_on_nan_losses = true;
};

struct TrainerParts {
  BaseModel& model;
  Optimizer& optimizer;
  Scheduler* scheduler;  // null: the learning rate stays
  DataLoader& loader;
  std::function<Numbers()> validate;  // empty: there is no validation split
  c10::Device device;
};

enum class Outcome { kFinished, kInterrupted };

class Trainer {
 public:
  Trainer(TrainerParts parts, const TrainerOptions& options, TrainerState state);

  // Called in this order. REQUIRES: before run(). A callback's state is saved under its key.
  void add_callback(std::string key, std::unique_ptr<Callback> callback);

  // Trains to the end, or to the update after a stop signal or a callback's wish. A validation that
  // a signal cuts short is done over when the run is resumed. Errors go through the callbacks'
  // on_exception and then to the caller.
  Outcome run();

  // All that a later process needs to go on from here; tensors are shared with the run.
  [[nodiscard]] CheckpointContent content() const;
  // Goes back to such a state. Throws Error{kCheckpoint} when it does not fit; training must not go
  // on then.
  void restore(const CheckpointContent& content);

  [[nodiscard]] const TrainerState& state() const noexcept { return state_; }
  [[nodiscard]] LossMeter& meter() noexcept { return meter_; }
  [[nodiscard]] double lr() const { return parts_.optimizer.lr(); }
  // True at the updates after which a log line is due.
  [[nodiscard]] bool log_due() const;
  // Throws Error{kNan} when a loss became NaN or infinite; nothing when that is allowed. Reads the
  // losses, and so waits for the device.
  void check_losses() const;
  // Samples that run() has trained on, in this process.
  [[nodiscard]] std::int64_t samples_this_run() const noexcept { return samples_this_run_; }

 private:
  using Hook = std::function<void(Callback&)>;
  void call(const char* name, const Hook& hook);
  Outcome loop();
  bool run_update();
  ModelOutput forward_backward(const SampleList& batch, std::int64_t group_size);
  void step();
  void schedule_rate();
  void complete_update();
  bool validate();
  void check_validation(const Numbers& numbers) const;
  void observe(const Numbers& numbers);
  [[nodiscard]] bool losses_are_read() const;
  [[nodiscard]] bool validation_due() const;
  // Has the last update completed an evaluation_interval?
  [[nodiscard]] bool interval_ended() const;
  // Is no update to come after this one, unless it is by a stop signal?
  [[nodiscard]] bool last_update() const;
  [[nodiscard]] bool finished() const;

  struct NamedCallback {
    std::string key;
    std::unique_ptr<Callback> callback;
  };

  TrainerParts parts_;
  TrainerOptions options_;
  TrainerState state_;
  LossMeter meter_;
  std::vector<NamedCallback> callbacks_;
  std::int64_t samples_this_run_ = 0;
  bool validation_pending_ = false;  // the last update is done, its validation is not
};

}  // namespace pergola::host
