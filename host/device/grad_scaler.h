// SPDX-License-Identifier: BSD-3-Clause
// The loss scaler of fp16: the loss is multiplied by a large number, so that small gradients do not
// round to 0, and gradients are divided by it before the step. The number halves with each
// overflow and doubles after 2000 updates without one: torch.amp.GradScaler's rules and numbers.
// They are on the device, in memory that stays where it is: updates that are recorded read and
// write them there. Training thread.
//
//   scaler.scale(loss).backward();            each micro-batch
//   const bool skip = scaler.unscale(optimizer);   before clipping
//   if (!skip) optimizer.step();
//   scaler.update();
#pragma once

#include "pergola/optimizer.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

namespace pergola::host {

struct GradScalerOptions {
  double init_scale = 65536;
  double growth_factor = 2;
  double backoff_factor = 0.5;
  std::int64_t growth_interval = 2000;  // updates without an overflow
};

class GradScaler {
 public:
  // `device`: of the gradients.
  explicit GradScaler(c10::Device device, const GradScalerOptions& options = {});

  // loss * scale, in float32.
  [[nodiscard]] at::Tensor scale(const at::Tensor& loss) const;

  // unscale_gradients(), and then what overflowed() says.
  [[nodiscard]] bool unscale(const Optimizer& optimizer);

  // Divides all gradients of the optimizer's parameters by the scale. Does not wait for the device.
  // REQUIRES: one call for each update().
  void unscale_gradients(const Optimizer& optimizer);
  // 0-d float32 on the device, always in the same memory: not 0 where one of these gradients was
  // not a finite number, so the step is to be skipped.
  [[nodiscard]] const at::Tensor& overflow() const noexcept { return overflow_; }
  // The same for the CPU, which waits for the device. Throws Error{kNan} when that was so, now or
  // since the last call, although the scale was down at kLeastScale: the gradients themselves are
  // too large or NaN then.
  [[nodiscard]] bool overflowed() const;

  // The scale of the next update, after what unscale_gradients() found. Does not wait.
  void update();

  // What an update that may be done anew begins with. Neither waits.  REQUIRES: keep() before
  // restore().
  void keep();
  void restore();

  // These wait for the device.
  [[nodiscard]] double current_scale() const;
  // Updates since the last overflow or growth.
  [[nodiscard]] std::int64_t growth_tracker() const;

  // {"scale", "growth_tracker"}, exact; waits. Loading throws Error{kCheckpoint} for a table
  // without both, or numbers that are none of a scaler.
  [[nodiscard]] Value state_dict() const;
  void load_state_dict(const Value& state);

  static constexpr double kLeastScale = 1e-4;

 private:
  GradScalerOptions options_;
  at::Tensor scale_;           // 0-d float32
  at::Tensor growth_tracker_;  // 0-d int32
  at::Tensor findings_;        // float32 [2], of which these are parts, so that one copy reads both
  at::Tensor overflow_;
  at::Tensor exhausted_;  // not 0: there was an overflow at the least scale
  at::Tensor kept_scale_;
  at::Tensor kept_tracker_;
};

}  // namespace pergola::host
