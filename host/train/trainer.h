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
#include "host/config/run_config.h"
#include "host/data/batch_source.h"
#include "host/device/anomaly.h"
#include "host/device/grad_scaler.h"
#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "host/train/callback_list.h"
#include "host/train/interval.h"
#include "host/train/kept_buffers.h"
#include "host/train/learning_rate.h"
#include "host/train/meter.h"
#include "host/train/phase_times.h"
#include "host/train/recorded_step.h"
#include "host/train/restore_report.h"
#include "host/train/split_step.h"
#include "host/train/step_result.h"
#include "pergola/base_model.h"
#include "pergola/callback.h"
#include "pergola/optimizer.h"
#include "pergola/scheduler.h"

#include <c10/core/Device.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

class WeightAverage;

struct TrainerOptions {
  std::int64_t max_updates = 0;
  std::optional<double> max_seconds = {};  // of training, earlier parts of a resumed run included
  std::int64_t update_frequency = 1;       // micro-batches in an update
  Duration evaluation_interval = {};       // between validations; 0 = at each epoch's end
  std::int64_t log_interval = 100;         // updates between log lines
  Precision precision = Precision::kFp32;
  std::optional<double> max_grad_l2_norm = {};
  std::optional<double> clip_grad_value = {};
  bool measure_grad_norm = false;  // TrainerState::grad_norm without clipping too
  std::string optimizer = {};      // its name, for messages
  std::string scheduler = {};      // the same
  std::string criteria = {};       // which number of a validation the scheduler observes
  bool exit_on_nan_losses = true;
  bool detect_anomaly = false;
  // By a callback. False spares the copy of the model's buffers that each update begins with.
  bool steps_may_be_skipped = true;
  // By a callback, between backward and step. False spares a pass over them, to clip them, where
  // the optimizer takes that over.
  bool gradients_are_read = true;
  // By callbacks, after the hook. False spares a copy of it, where updates are replayed.
  bool outputs_are_kept = true;
  bool graphs_are_required = false;  // updates that cannot be recorded are an error
  // Batches that do not fit in memory are worked on in parts; false: they are an error.
  bool halves_batches = false;
};

struct TrainerParts {
  BaseModel& model;
  Optimizer& optimizer;
  Scheduler* scheduler;               // null: the learning rate stays
  BatchSource& batches;               // at least one
  std::function<Numbers()> validate;  // empty: there is no validation split
  c10::Device device;
  WeightAverage* average = nullptr;   // null: the weights themselves are evaluated and saved
  GraphRecorder* recorder = nullptr;  // null: no update is recorded
};

enum class Outcome { kFinished, kInterrupted };

class Trainer {
 public:
  Trainer(TrainerParts parts, const TrainerOptions& options, TrainerState state);
  ~Trainer();

  // Called in this order. REQUIRES: before run(). A callback's state is saved under its key.
  void add_callback(std::string key, std::unique_ptr<Callback> callback);
  // Calls a hook of all callbacks, with this run's state: notify("on_test_start", [](Callback& c,
  // TrainerState& s) { c.on_test_start(s); }).
  template <class Call>
  void notify(const char* name, Call hook) {
    const auto timed = times_.measure(Phase::kCallbacks);
    callbacks_.call(name, [&](Callback& callback) { hook(callback, state_); });
  }
  // on_exception and teardown, for the parts of a run that are outside of run(). What was reported
  // once is not reported again.
  void report_exception(const std::string& message) noexcept;
  void tear_down() noexcept;

  // Trains to the end, or to the update after a stop signal or a callback's wish. A validation that
  // a signal cuts short is done over when the run is resumed. Errors go through the callbacks'
  // on_exception and then to the caller.
  Outcome run();

  // All that a later process needs to go on from here; tensors are shared with the run.
  [[nodiscard]] CheckpointContent content() const;
  // Goes back to such a state, or to what `reset` leaves of it. Throws Error{kCheckpoint} when it
  // does not fit; training must not go on then.
  RestoreReport restore(const CheckpointContent& content, const ResetConfig& reset = {});

  [[nodiscard]] const TrainerState& state() const noexcept { return state_; }
  [[nodiscard]] LossMeter& meter() noexcept { return meter_; }
  [[nodiscard]] PhaseTimes& times() noexcept { return times_; }
  [[nodiscard]] const PhaseTimes& times() const noexcept { return times_; }
  [[nodiscard]] const Optimizer& optimizer() const noexcept { return parts_.optimizer; }
  [[nodiscard]] c10::Device device() const noexcept { return parts_.device; }
  [[nodiscard]] double lr() const { return parts_.optimizer.lr(); }
  [[nodiscard]] std::int64_t updates_per_epoch() const;
  // Null unless the precision is fp16.
  [[nodiscard]] const GradScaler* scaler() const { return scaler_ ? &*scaler_ : nullptr; }
  // Is the validation of the last update still to be done? A signal cut it short.
  [[nodiscard]] bool validation_pending() const noexcept { return validation_pending_; }
  // True at the updates after which a log line is due.
  [[nodiscard]] bool log_due() const;
  // Throws Error{kNan} when a loss became NaN or infinite; nothing when that is allowed. Reads the
  // losses, and so waits for the device.
  void check_losses() const;
  // "training_step() made a NaN; ...", where training.detect_anomaly found one in the update in
  // hand; else empty. What no callback takes for a reason to stop or to skip is one to stop, unless
  // losses that are not finite are allowed.
  [[nodiscard]] const std::string& anomaly() const noexcept { return anomaly_; }
  // Seconds until training.max_time is over, 0 at least; nothing where it is not set.
  [[nodiscard]] std::optional<double> max_time_left() const;
  // Updates that were replayed as a whole, in this process (recorded_step.h).
  [[nodiscard]] std::int64_t graph_replays() const;
  // From the next batch on, updates are done operation by operation, so that these can be counted;
  // until it is called again.
  void pause_graphs(bool paused) {
    if (recorded_) recorded_->pause(paused);
  }
  // See RecordedStep::note_replays(); nothing is noted where nothing is recorded.
  void note_replays(std::vector<RecordedWork*>* into) {
    if (recorded_) recorded_->note_replays(into);
  }
  // Samples that run() has trained on, in this process.
  [[nodiscard]] std::int64_t samples_this_run() const noexcept { return samples_this_run_; }

 private:
  using CallbackHook = void (Callback::*)(TrainerState&);
  void call(const char* name, CallbackHook hook);
  [[nodiscard]] Hook hook_of_model(std::string_view name) const;
  [[nodiscard]] Hook hook_of_optimizer(std::string_view name) const;
  Outcome loop();
  std::unique_ptr<SplitStep> make_split_step();
  void begin_recording();
  [[nodiscard]] RecordedStep::Work recorded_work();
  void end_recording() noexcept;
  [[nodiscard]] std::string not_recordable() const;
  bool run_update();
  const StepResult& run_batches(std::int64_t count, SampleList& batch);
  const StepResult& work_on(const SampleList& batch, std::int64_t number, std::int64_t group_size);
  const StepResult& work_on_whole(const SampleList& batch, std::int64_t number,
                                  std::int64_t group_size);
  const StepResult& work_on_recorded(const SampleList& batch, std::int64_t number,
                                     std::int64_t group_size);
  StepResult compute(const SampleList& batch);
  void finish(StepResult& result);
  StepResult pass(const SampleList& batch, std::int64_t batch_idx, double divisor);
  ModelOutput forward(const SampleList& batch, std::int64_t batch_idx);
  void backward(const ModelOutput& output, double divisor);
  [[nodiscard]] at::Tensor share_of(const at::Tensor& total, double divisor) const;
  void note_anomaly(const std::string& found);
  void judge_anomaly();
  void step(const StepResult& result);
  bool prepare_gradients(const StepResult& result);
  void clip(StepResult& result);
  void take_step(const StepResult& result);
  [[nodiscard]] bool skips_on_device() const;
  [[nodiscard]] bool adds_up() const noexcept { return options_.update_frequency > 1; }
  [[nodiscard]] bool log_due_after(std::int64_t update) const;
  void count_update();
  void stop_when_time_is_up();
  void complete_update();
  bool validate();
  void check_validation(const Numbers& numbers) const;
  void restore_weights(const CheckpointContent& content, const ResetConfig& reset,
                       RestoreReport& report);
  void restore_counts(const CheckpointContent& content, bool is_reset, RestoreReport& report);
  void restore_random_numbers(const CheckpointContent& content, bool is_reset,
                              RestoreReport& report);
  [[nodiscard]] double seconds_of_training() const;
  // Is no update to come after this one, unless it is by a stop signal?
  [[nodiscard]] bool last_update() const;
  [[nodiscard]] bool finished() const;

  TrainerParts parts_;
  TrainerOptions options_;
  TrainerState state_;
  LearningRate rate_;
  Interval evaluation_;
  std::optional<GradScaler> scaler_;
  std::optional<AnomalyWatch> watch_;   // while run() runs
  std::optional<KeptBuffers> buffers_;  // nothing where no step is skipped
  std::string anomaly_;                 // of the update in hand
  bool anomaly_told_ = false;           // one that training goes on with
  LossMeter meter_;
  StepResult own_;                          // of the update in hand, what no recording holds
  std::vector<LossMeans> earlier_;          // of its micro-batches before the last, or their parts
  std::unique_ptr<SplitStep> split_;        // null: what is too large for the memory is an error
  std::optional<OnStream> stream_;          // while updates are recorded on a GPU
  std::unique_ptr<RecordedStep> recorded_;  // while run() runs; null: nothing is recorded
  std::int64_t replays_before_ = 0;         // of earlier calls of run()
  at::Tensor share_;  // of each micro-batch in the update, where recorded ones add up; 0-d float64
  bool reads_overflow_ = true;  // of each recorded update in fp16
  PhaseTimes times_;
  CallbackList callbacks_;
  std::int64_t samples_this_run_ = 0;
  double seconds_before_ = 0;  // of training, in earlier processes
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool reported_ = false;            // an exception
  bool validation_pending_ = false;  // the last update is done, its validation is not
  bool interval_ended_ = false;      // that validation is not due only because the run ends
};

}  // namespace pergola::host
