// SPDX-License-Identifier: BSD-3-Clause
// The mean of the training losses over the samples since the last log line, and over those since
// the run began, which is MMF's "{key}/avg". In the place of the first, MMF's Meter logs the median
// of the last 20 batches that it saw, whatever their sizes. Sums stay on the device; nothing waits
// for it until take(), means() or check_finite() is called. Training thread.
#pragma once

#include "pergola/callback.h"
#include "pergola/model_output.h"
#include "pergola/value.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

// What to try when a loss is NaN or infinite.
inline constexpr const char* kNotFiniteAdvice =
    "; look for nan and inf in the data, or try a smaller optimizer.params.lr, or "
    "training.clip_gradients = true with a training.max_grad_l2_norm; "
    "training.exit_on_nan_losses = false goes on all the same";

// The mean of each loss over one micro-batch: 0-d float64, where the loss is.
struct LossMeans {
  std::vector<std::pair<std::string, at::Tensor>> values;
  std::int64_t samples = 0;
};
// The same numbers in memory of their own.
[[nodiscard]] LossMeans copy_of(const LossMeans& means);
[[nodiscard]] LossMeans means_of(const LossMap& losses, std::int64_t samples);

class LossMeter {
 public:
  LossMeter() = default;
  LossMeter(const LossMeter&) = delete;  // two would add to one sum
  LossMeter& operator=(const LossMeter&) = delete;

  // Takes in the losses of one micro-batch of so many samples.
  void add(const LossMap& losses, std::int64_t samples) { add(means_of(losses, samples)); }
  void add(const LossMeans& means) {
    add_values(means);
    count(means);
  }
  // The two halves of it, for updates that are recorded: what the device does, always in the same
  // memory once a loss was added, and what is left of it for the CPU when that is replayed.
  void add_values(const LossMeans& means);
  void count(const LossMeans& means);

  // The mean of each loss since the last take(), by its key, and their sum under
  // "train/total_loss".
  [[nodiscard]] Numbers means() const;
  // The same, and begins anew. With each comes the mean over the whole run, "{key}/avg".
  [[nodiscard]] Numbers take();

  // Throws Error{kNan} that names the losses that became NaN or infinite since the last take().
  void check_finite(std::int64_t update) const;

  // Bit-exact, so that a resumed run logs the numbers that it would have logged.
  [[nodiscard]] Value state_dict() const;
  // Throws Error{kCheckpoint} when `state` is none.
  void load_state_dict(const Value& state);

 private:
  struct Sum {
    at::Tensor value;          // 0-d float64: of each sample's loss; changed in place
    std::int64_t samples = 0;  // 0: as if it were not there
  };
  struct Course {
    double sum = 0;
    std::int64_t samples = 0;
  };
  std::map<std::string, Sum> sums_;        // since the last take()
  std::map<std::string, Course> courses_;  // from the begin of the run up to that
};

}  // namespace pergola::host
