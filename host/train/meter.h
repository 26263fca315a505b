// SPDX-License-Identifier: BSD-3-Clause
// The mean of the training losses since the last log line, and their course since the run began
// (after MMF's Meter). Sums stay on the device; nothing waits for it until take(), means() or
// check_finite() is called. Training thread.
#pragma once

#include "host/train/smoothed_value.h"
#include "pergola/callback.h"
#include "pergola/model_output.h"
#include "pergola/value.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

namespace pergola::host {

class LossMeter {
 public:
  // Takes in the losses of one micro-batch.
  void add(const LossMap& losses);

  // The mean of each loss since the last take(), by its key, and their sum under
  // "train/total_loss".
  [[nodiscard]] Numbers means() const;
  // The same, and begins anew. With each comes the average over the whole run, "{key}/avg".
  [[nodiscard]] Numbers take();

  // Throws Error{kNan} that names the losses that became NaN or infinite since the last take().
  void check_finite(std::int64_t update) const;

  // Bit-exact, so that a resumed run logs the numbers that it would have logged.
  [[nodiscard]] Value state_dict() const;
  void load_state_dict(const Value& state);

 private:
  struct Sum {
    at::Tensor value;  // 0-d float64
    std::int64_t count = 0;
  };
  std::map<std::string, Sum> sums_;
  std::map<std::string, SmoothedValue> courses_;
};

}  // namespace pergola::host
