// SPDX-License-Identifier: BSD-3-Clause
// The loss scaler of fp16: the loss is multiplied by a large number, so that small gradients do not
// round to 0, and gradients are divided by it before the step. The number halves with each
// overflow and doubles after 2000 updates without one: torch.amp.GradScaler's rules and numbers.
// Training thread.
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

  // Divides all gradients of the optimizer's parameters by the scale. True: one of them is not a
  // finite number, so the step is to be skipped. Waits for the device, once an update.
  // Throws Error{kNan} when that is so although the scale is down at kLeastScale: the gradients
  // themselves are too large or NaN then. REQUIRES: one call for each update().
  [[nodiscard]] bool unscale(const Optimizer& optimizer);

  // The scale of the next update, after what unscale() found.
  void update();

  [[nodiscard]] double current_scale() const noexcept { return scale_; }
  // Updates since the last overflow or growth.
  [[nodiscard]] std::int64_t growth_tracker() const noexcept { return growth_tracker_; }

  // {"scale", "growth_tracker"}, exact. Loading throws Error{kCheckpoint} for a table without both,
  // or numbers that are none of a scaler.
  [[nodiscard]] Value state_dict() const;
  void load_state_dict(const Value& state);

  static constexpr double kLeastScale = 1e-4;

 private:
  // On the host, since unscale() waits for the device anyway: logging the scale costs nothing.
  c10::Device device_;
  GradScalerOptions options_;
  float scale_;
  std::int64_t growth_tracker_ = 0;
  bool overflow_ = false;  // found by unscale(), until update()
};

}  // namespace pergola::host
