// SPDX-License-Identifier: BSD-3-Clause
// Writes a run's TensorBoard event files: each number of metrics.jsonl as a scalar under its key,
// all learning rates, what the run is made from (HParams), and histograms of weights and gradients
// where they are asked for. metrics.jsonl is the record: when these files cannot be written, that
// is a warning, once, and the run goes on. Training thread, but for sync().
//
// A resumed run has no point twice and misses none: old files lose what is newer than its
// checkpoint, or was written after training, and a new one goes on from there (ADR 25).
#pragma once

#include "host/train/event_file.h"
#include "host/train/event_message.h"
#include "host/train/metrics_sink.h"
#include "pergola/callback.h"
#include "pergola/optimizer.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace pergola::host {

// Now, in seconds since 1970.
[[nodiscard]] double system_seconds();

// Numbers of the evaluation after training have this in front of their keys: "final/val/...",
// beside the "val/..." of the validations.
inline constexpr std::string_view kFinalPrefix = "final/";

struct TensorBoardOptions {
  std::int64_t histogram_interval = 0;                // updates; 0: no histograms
  std::function<double()> seconds = &system_seconds;  // the time of each event, since 1970
};

// A config as one table of booleans, numbers and strings: {a = {b = 1}} is {"a.b" = 1}, an array
// its text. Tables that say where files lie, and what is null, are left out.
[[nodiscard]] Value::Table flatten_hparams(const Value& config);

class TensorBoardCallback final : public Callback, public MetricsSink {
 public:
  // Event files go into `folder`, which is made when training starts. `hparams` are shown as they
  // were when the run began, also after it was resumed. Borrows the optimizer.
  TensorBoardCallback(std::filesystem::path folder, Value::Table hparams,
                      const Optimizer& optimizer, TensorBoardOptions options = {});

  void on_train_start(TrainerState& state) override;
  // Histograms of gradients, as "gradients/<parameter>", at the same updates as those of weights.
  void on_step_start(TrainerState& state) override;
  // Histograms of weights, as "weights/<parameter>".
  void on_update_end(TrainerState& state, const SampleList& batch,
                     const ModelOutput& output) override;
  // What is written from now on is final.
  void on_train_end(TrainerState& state) override;
  void on_exception(TrainerState& state, const std::string& message) noexcept override;
  // Says whether the run has ended well, unless a signal stopped it: then it is to go on.
  void teardown(TrainerState& state) noexcept override;

  // The points of one line of metrics.jsonl, at step `progress.update`. Nothing happens before
  // training.
  void write(const Progress& progress, const std::string& split, const Numbers& numbers) override;

  // Brings all points so far to the disk, as is due before a checkpoint gets its place. Any thread.
  void sync() noexcept;

 private:
  template <class Action>
  void attempt(Action action) noexcept;
  void open(std::int64_t update);
  void write_histogram(std::int64_t step, const std::string& tag, const at::Tensor& tensor);
  [[nodiscard]] bool histograms_due(std::int64_t update) const;

  std::filesystem::path folder_;
  Value::Table hparams_;
  const Optimizer& optimizer_;
  TensorBoardOptions options_;
  std::optional<EventFile> file_;  // none when it cannot be made; stays the same while training
  std::int64_t first_update_ = 0;  // that this process goes on after
  std::set<std::string, std::less<>> kept_;  // tags of points at first_update_
  bool training_ended_ = false;
  bool failed_ = false;
  std::atomic<bool> warned_ = false;
};

}  // namespace pergola::host
