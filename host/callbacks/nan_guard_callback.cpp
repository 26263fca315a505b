// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/nan_guard_callback.h"

#include "host/callbacks/saved_batch.h"
#include "host/support/log.h"
#include "host/train/meter.h"
#include "pergola/base_model.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGradients = "the norm of the gradients";
constexpr const char* kGradient = "a gradient";

// The mean of each loss, which is what the total is made of. Those on a GPU come to the host in one
// copy, so that it is waited for once.
std::map<std::string, double> means_of(const LossMap& losses) {
  const at::NoGradGuard no_grad;
  std::map<std::string, double> numbers;
  std::vector<std::string> keys;
  std::vector<at::Tensor> on_device;
  for (const auto& [key, loss] : losses) {
    const at::Tensor mean = loss.dim() == 0 ? loss : loss.mean();
    if (mean.is_cpu()) {
      numbers[key] = mean.item<double>();
    } else {
      keys.push_back(key);
      on_device.push_back(mean.to(at::kDouble));
    }
  }
  if (keys.empty()) return numbers;
  const at::Tensor copied = at::stack(on_device).cpu();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    numbers[keys[i]] = copied.const_data_ptr<double>()[i];
  }
  return numbers;
}

std::vector<std::string> not_finite(const LossMap& losses) {
  std::vector<std::string> bad;
  for (const auto& [key, number] : means_of(losses)) {
    if (!std::isfinite(number)) bad.push_back(key);
  }
  return bad;
}

// JSON has no NaN.
Value to_value(double number) {
  if (std::isnan(number)) return "nan";
  return std::isfinite(number) ? Value(number) : Value(number > 0 ? "inf" : "-inf");
}

std::string file_stem(std::int64_t update) {
  char name[40];
  std::snprintf(name, sizeof(name), "update_%08lld", static_cast<long long>(update));
  return name;
}

std::size_t count_files(const fs::path& folder, const char* extension) {
  std::size_t count = 0;
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->path().extension() == extension) ++count;
  }
  return count;
}

}  // namespace

NanGuardCallback::NanGuardCallback(const NanGuardOptions& options) : options_(options) {}

void NanGuardCallback::on_update_start(TrainerState& /*state*/) { skipping_ = false; }

// In which updates losses are read.
bool NanGuardCallback::looks(const TrainerState& state) const {
  if (options_.device.is_cpu() || options_.config.action == GuardAction::kSkip) return true;
  const std::int64_t update = state.progress.update + 1;
  return update % options_.log_interval == 0 || update == state.max_updates;
}

void NanGuardCallback::on_batch_end(TrainerState& state, const SampleList& batch,
                                    const ModelOutput& output) {
  if (skipping_ || !output.losses || !looks(state)) return;
  std::vector<std::string> bad = not_finite(*output.losses);
  if (bad.empty() && !options_.anomaly().empty()) bad = {kGradient};
  if (bad.empty()) return;
  if (options_.config.save_batch) save(state, batch, output, bad);
  found(state, bad);
}

void NanGuardCallback::on_step_start(TrainerState& state) {
  if (skipping_ || !options_.checks_gradients || !state.grad_norm.defined() || !looks(state)) {
    return;
  }
  if (!std::isfinite(state.grad_norm.item<double>())) found(state, {kGradients});
}

void NanGuardCallback::found(TrainerState& state, const std::vector<std::string>& bad) {
  const std::int64_t update = state.progress.update + 1;
  const bool skip = options_.config.action == GuardAction::kSkip;
  const std::string anomaly = options_.anomaly();
  const std::string reason = join(bad) + (anomaly.empty() ? "" : "; " + anomaly);
  if (!skip || skipped_in_row_ >= options_.config.limit) {
    throw Error(ErrorKind::kNan, "not a finite number at update ", update, ": ", reason,
                skip ? concat(", after ", skipped_in_row_, " skipped updates in a row, which is ",
                              "training.nan_guard.limit")
                     : "",
                kNotFiniteAdvice);
  }
  state.skip_step = true;
  skipping_ = true;
  ++skipped_;
  ++skipped_in_row_;
  log::warning("[nan] update ", update, " is skipped: not a finite number: ", reason, " (",
               skipped_in_row_, " in a row, at most ", options_.config.limit, ")");
}

void NanGuardCallback::on_update_end(TrainerState& /*state*/, const SampleList& /*batch*/,
                                     const ModelOutput& /*output*/) {
  if (!skipping_) skipped_in_row_ = 0;
}

// The run goes on, or ends with the error that counts, when the batch cannot be written.
void NanGuardCallback::save(const TrainerState& state, const SampleList& batch,
                            const ModelOutput& output, const std::vector<std::string>& bad) const {
  const fs::path folder = state.run_dir / "nan_batches";
  if (count_files(folder, ".json") >= kMostBatches) return;
  const Progress& progress = state.progress;
  Value losses{Value::Table{}};
  for (const auto& [key, number] : means_of(*output.losses)) losses[key] = to_value(number);
  const Value facts = Value::Table{{"update", progress.update + 1},
                                   {"epoch", progress.epoch},
                                   {"batch_in_epoch", progress.batch_in_epoch - 1},
                                   {"losses", std::move(losses)},
                                   {"not_finite", Value::Array(bad.begin(), bad.end())},
                                   {"anomaly", options_.anomaly()}};
  const fs::path stem = folder / file_stem(progress.update + 1);
  try {
    save_batch(stem, batch, facts);
    log::info("[nan] the batch of update ", progress.update + 1, " is in ", stem.string(),
              ".safetensors and .json");
  } catch (const Error& error) {
    log::warning("[nan] the batch is not saved: ", error.what());
  }
}

Value NanGuardCallback::state_dict() const {
  return Value::Table{{"skipped", skipped_}, {"skipped_in_row", skipped_in_row_}};
}

void NanGuardCallback::load_state_dict(const Value& state) {
  const Value* skipped = state.find("skipped");
  const Value* in_row = state.find("skipped_in_row");
  if (skipped != nullptr) skipped_ = skipped->as_integer();
  if (in_row != nullptr) skipped_in_row_ = in_row->as_integer();
}

}  // namespace pergola::host
