// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/tensorboard_callback.h"

#include "host/callbacks/tensor_histogram.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "pergola/base_model.h"
#include "pergola/error.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

namespace pergola::host {
namespace {

// What of a config says where files lie and which are kept, and not what is learnt.
constexpr std::array<std::string_view, 3> kNoHparams = {"checkpoint", "env", "plugins"};

void flatten(const Value& value, const std::string& key, Value::Table& flat) {
  if (value.is_null()) return;
  if (!value.is_table()) {
    flat[key] = value.is_array() ? Value(to_string(value)) : value;
    return;
  }
  for (const auto& [name, child] : value.as_table()) flatten(child, concat(key, ".", name), flat);
}

bool is_written_after_training(std::string_view tag) {
  return tag.starts_with(kFinalPrefix) || tag == kSessionEndTag;
}

}  // namespace

double system_seconds() {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return now.count();
}

Value::Table flatten_hparams(const Value& config) {
  Value::Table flat;
  for (const auto& [name, child] : config.as_table()) {
    if (std::ranges::find(kNoHparams, name) == kNoHparams.end()) flatten(child, name, flat);
  }
  return flat;
}

TensorBoardCallback::TensorBoardCallback(std::filesystem::path folder, Value::Table hparams,
                                         const Optimizer& optimizer, TensorBoardOptions options)
    : folder_(std::move(folder)),
      hparams_(std::move(hparams)),
      optimizer_(optimizer),
      options_(std::move(options)) {}

// Runs `action` if there is a file to write to. What goes wrong is a warning.
template <class Action>
void TensorBoardCallback::attempt(Action action) noexcept {
  try {
    action();
  } catch (const std::exception& error) {
    if (warned_.exchange(true)) return;
    log::warning("[tensorboard] ", error.what(),
                 "; points are missing in the event files, metrics.jsonl has them");
  }
}

void TensorBoardCallback::on_train_start(TrainerState& state) {
  attempt([&] { open(state.progress.update); });
}

void TensorBoardCallback::open(std::int64_t update) {
  const std::int64_t last_update = update > 0 ? update : -1;
  KeptEvents kept = trim_event_files(folder_, last_update, is_written_after_training);
  const double now = options_.seconds();
  EventFile file(folder_, now);
  file.write(encode_start(now, update + 1));
  if (!kept.tags.contains(kSessionStartTag)) file.write(encode_session_start(now, hparams_));
  first_update_ = update;
  kept_ = std::move(kept.newest);
  file_.emplace(std::move(file));
}

void TensorBoardCallback::write(const Progress& progress, const std::string& split,
                                const Numbers& numbers) {
  if (!file_) return;
  Numbers points;
  for (const auto& [key, number] : numbers) {
    const std::string tag = training_ended_ ? concat(kFinalPrefix, key) : key;
    // A validation that a signal cut short is done again by the resumed run, and by the next one
    // when that was killed before it saved.
    if (progress.update == first_update_ && kept_.contains(tag)) continue;
    points[tag] = number;
  }
  const std::size_t groups = optimizer_.groups().size();
  for (std::size_t group = 0; split == "train" && groups > 1 && group < groups; ++group) {
    points[concat("lr/group_", group)] = optimizer_.lr(group);
  }
  if (points.empty()) return;
  attempt([&] { file_->write(encode_scalars(options_.seconds(), progress.update, points)); });
}

bool TensorBoardCallback::histograms_due(std::int64_t update) const {
  const std::int64_t interval = options_.histogram_interval;
  return file_ && interval > 0 && update % interval == 0;
}

void TensorBoardCallback::write_histogram(std::int64_t step, const std::string& tag,
                                          const at::Tensor& tensor) {
  const std::optional<Histogram> histogram = histogram_of(tensor);
  if (!histogram) return;
  attempt([&] { file_->write(encode_histogram(options_.seconds(), step, tag, *histogram)); });
}

void TensorBoardCallback::on_step_start(TrainerState& state) {
  const std::int64_t update = state.progress.update + 1;  // the one in hand
  if (!histograms_due(update)) return;
  for (const auto& parameter : state.model->named_parameters()) {
    const at::Tensor& gradient = parameter.value().grad();
    if (gradient.defined()) write_histogram(update, "gradients/" + parameter.key(), gradient);
  }
}

void TensorBoardCallback::on_update_end(TrainerState& state, const SampleList& /*batch*/,
                                        const ModelOutput& /*output*/) {
  const std::int64_t update = state.progress.update;
  if (!histograms_due(update)) return;
  for (const auto& parameter : state.model->named_parameters()) {
    write_histogram(update, "weights/" + parameter.key(), parameter.value());
  }
}

void TensorBoardCallback::on_train_end(TrainerState& /*state*/) { training_ended_ = true; }

void TensorBoardCallback::on_exception(TrainerState& /*state*/,
                                       const std::string& /*message*/) noexcept {
  failed_ = true;
}

void TensorBoardCallback::teardown(TrainerState& /*state*/) noexcept {
  if (!file_) return;
  attempt([&] {
    if (failed_ || (training_ended_ && stop_signal() == 0)) {
      const SessionStatus status = failed_ ? SessionStatus::kFailure : SessionStatus::kSuccess;
      file_->write(encode_session_end(options_.seconds(), status));
    }
    file_->sync();
  });
}

void TensorBoardCallback::sync() noexcept {
  if (file_) attempt([&] { file_->sync(); });
}

}  // namespace pergola::host
