// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/progress_callback.h"

#include "host/callbacks/throughput.h"
#include "host/device/memory.h"
#include "host/support/log.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace pergola::host {
namespace {

constexpr std::chrono::milliseconds kRedraw(100);  // a terminal is slower than a training step
constexpr std::int64_t kWidth = 24;
constexpr std::int64_t kNarrow = 4;  // a bar that is to leave room for another fact
constexpr const char* kTotalLoss = "train/total_loss";

std::string bar(std::int64_t filled, std::int64_t width) {
  return std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(width - filled), '.');
}

std::string short_number(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", number);
  return text;
}

std::string samples_per_second(double rate) { return concat(std::llround(rate), " samples/s"); }

}  // namespace

std::string progress_line(const ProgressPoint& point, std::size_t columns) {
  // A resumed run may be beyond an end that was moved.
  const std::int64_t all = std::max<std::int64_t>(point.all.value_or(1), 1);
  const std::int64_t done = std::clamp<std::int64_t>(point.done, 0, all);
  const std::string before = point.doing + (point.all ? " [" : "");
  std::string after = point.all ? concat("] ", 100 * done / all, "%  ", point.done, "/", *point.all,
                                         " ", point.unit)
                                : concat("  ", point.done, " ", point.unit);
  const auto room = [&] {
    return static_cast<std::int64_t>(columns) -
           static_cast<std::int64_t>(before.size() + after.size());
  };
  for (const std::string& fact : point.facts) {
    const auto width = static_cast<std::int64_t>(fact.size()) + 2;
    if (room() - width < (point.all ? kNarrow : 0)) break;
    after += "  " + fact;
  }
  if (!point.all) return before + after;
  const std::int64_t width = std::clamp<std::int64_t>(room(), 0, kWidth);
  return before + bar(width * done / all, width) + after;
}

void ProgressCallback::on_train_start(TrainerState& state) {
  rate_.start(state.progress.update);
  draw_training(state);
}

void ProgressCallback::on_update_end(TrainerState& state, const SampleList& /*batch*/,
                                     const ModelOutput& /*output*/) {
  if (!drawn_just_now()) draw_training(state);
}

void ProgressCallback::on_validation_start(TrainerState& /*state*/) {
  start_evaluation("validating");
}

void ProgressCallback::on_validation_batch_end(TrainerState& /*state*/, const SampleList& batch,
                                               const ModelOutput& /*output*/) {
  add_batch("validating", batch);
}

void ProgressCallback::on_validation_end(TrainerState& state, const Numbers& /*metrics*/) {
  if (!drawn_just_now()) draw_training(state);
}

void ProgressCallback::on_train_end(TrainerState& /*state*/) { clear_status_line(); }

void ProgressCallback::on_test_start(TrainerState& /*state*/) { start_evaluation("evaluating"); }

void ProgressCallback::on_test_batch_end(TrainerState& /*state*/, const SampleList& batch,
                                         const ModelOutput& /*output*/) {
  add_batch("evaluating", batch);
}

void ProgressCallback::on_test_end(TrainerState& /*state*/, const Numbers& /*metrics*/) {
  clear_status_line();
}

void ProgressCallback::on_exception(TrainerState& /*state*/,
                                    const std::string& /*message*/) noexcept {
  clear_status_line();
}

void ProgressCallback::write(const Progress& /*progress*/, const std::string& split,
                             const Numbers& numbers) {
  const auto found = numbers.find(kTotalLoss);
  if (split == "train" && found != numbers.end()) logged_loss_ = found->second;
}

bool ProgressCallback::drawn_just_now() const {
  return std::chrono::steady_clock::now() - drawn_ < kRedraw;
}

void ProgressCallback::draw(const ProgressPoint& point) {
  drawn_ = std::chrono::steady_clock::now();
  set_status_line(progress_line(point, terminal_width() - 1));
}

void ProgressCallback::draw_training(const TrainerState& state) {
  const std::int64_t update = state.progress.update;
  ProgressPoint point{"training", update, state.max_updates};
  point.facts = {samples_per_second(rate_.samples_per_second(trainer_.samples_this_run())),
                 rate_.time_left(update, state.max_updates, trainer_.max_time_left()) + " left"};
  if (const std::optional<double> now = loss()) point.facts.push_back("loss " + short_number(*now));
  point.facts.push_back("lr " + short_number(trainer_.lr()));
  const std::optional<DeviceMemory> memory = device_memory(trainer_.device());
  point.facts.push_back(format_bytes(memory ? memory->allocated : process_memory()));
  draw(point);
}

void ProgressCallback::start_evaluation(const char* doing) {
  evaluation_ = {};
  evaluation_.rate.start(0);
  draw({doing, 0, std::nullopt, "batches"});
}

void ProgressCallback::add_batch(const char* doing, const SampleList& batch) {
  evaluation_.batches += 1;
  evaluation_.samples += batch.batch_size();
  if (drawn_just_now()) return;
  ProgressPoint point{doing, evaluation_.batches, std::nullopt, "batches"};
  point.facts = {samples_per_second(evaluation_.rate.samples_per_second(evaluation_.samples))};
  if (const auto found = batches_.find(batch.dataset_type()); found != batches_.end()) {
    point.all = found->second;
    point.facts.push_back(evaluation_.rate.time_left(evaluation_.batches, found->second) + " left");
  }
  draw(point);
}

// Of a GPU nothing is read here that is not on the host already.
std::optional<double> ProgressCallback::loss() const {
  if (!trainer_.device().is_cpu()) return logged_loss_;
  const Numbers now = trainer_.meter().means();
  const auto found = now.find(kTotalLoss);
  return found == now.end() ? logged_loss_ : found->second;
}

}  // namespace pergola::host
