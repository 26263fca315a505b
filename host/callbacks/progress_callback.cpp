// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/progress_callback.h"

#include "host/support/log.h"

#include <cmath>

namespace pergola::host {
namespace {

constexpr std::chrono::milliseconds kRedraw(100);  // a terminal is slower than a training step
constexpr std::int64_t kWidth = 24;

std::string bar(std::int64_t done, std::int64_t all) {
  const std::int64_t filled = all > 0 ? kWidth * done / all : 0;
  return std::string(static_cast<std::size_t>(filled), '#') +
         std::string(static_cast<std::size_t>(kWidth - filled), '.');
}

}  // namespace

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
  const std::int64_t percent = state.max_updates > 0 ? 100 * update / state.max_updates : 0;
  set_status_line(concat(doing, " [", bar(update, state.max_updates), "] ", percent, "%  ", update,
                         "/", state.max_updates, " updates  ",
                         std::llround(rate_.samples_per_second(trainer_.samples_this_run())),
                         " samples/s  ", rate_.time_left(update, state.max_updates), " left"));
}

}  // namespace pergola::host
