// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/progress_callback.h"

#include "host/support/log.h"

#include <algorithm>
#include <cmath>

namespace pergola::host {
namespace {

constexpr std::chrono::milliseconds kRedraw(100);  // a terminal is slower than a training step
constexpr std::int64_t kWidth = 24;

std::string bar(std::int64_t filled, std::int64_t width) {
  return std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(width - filled), '.');
}

}  // namespace

std::string progress_line(const ProgressPoint& point, std::size_t columns) {
  // A resumed run may be beyond an end that was moved.
  const std::int64_t all = std::max<std::int64_t>(point.max_updates, 1);
  const std::int64_t done = std::clamp<std::int64_t>(point.update, 0, all);
  const std::string before = concat(point.doing, " [");
  const std::string after =
      concat("] ", 100 * done / all, "%  ", point.update, "/", point.max_updates, " updates  ",
             point.samples_per_second, " samples/s  ", point.time_left, " left");
  const auto room =
      static_cast<std::int64_t>(columns) - static_cast<std::int64_t>(before.size() + after.size());
  const std::int64_t width = std::clamp<std::int64_t>(room, 0, kWidth);
  return before + bar(width * done / all, width) + after;
}

void ProgressCallback::on_train_start(TrainerState& state) {
  rate_.start(state.progress.update);
  draw(state, "training");
}

void ProgressCallback::on_update_end(TrainerState& state, const SampleList& /*batch*/,
                                     const ModelOutput& /*output*/) {
  if (std::chrono::steady_clock::now() - drawn_ >= kRedraw) draw(state, "training");
}

void ProgressCallback::on_validation_start(TrainerState& state) { draw(state, "validating"); }
void ProgressCallback::on_validation_end(TrainerState& state, const Numbers& /*metrics*/) {
  draw(state, "training");
}
void ProgressCallback::on_train_end(TrainerState& /*state*/) { clear_status_line(); }
void ProgressCallback::on_exception(TrainerState& /*state*/,
                                    const std::string& /*message*/) noexcept {
  clear_status_line();
}

void ProgressCallback::draw(const TrainerState& state, const char* doing) {
  drawn_ = std::chrono::steady_clock::now();
  const std::int64_t update = state.progress.update;
  const ProgressPoint point{doing, update, state.max_updates,
                            std::llround(rate_.samples_per_second(trainer_.samples_this_run())),
                            rate_.time_left(update, state.max_updates)};
  set_status_line(progress_line(point, terminal_width() - 1));
}

}  // namespace pergola::host
