// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/grad_scaler.h"

#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace pergola::host {
namespace {

// The operation takes tensors of one type at a time.
std::map<at::ScalarType, std::vector<at::Tensor>> gradients_of(const Optimizer& optimizer) {
  std::map<at::ScalarType, std::vector<at::Tensor>> gradients;
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const at::Tensor& parameter : group.parameters) {
      const at::Tensor& gradient = parameter.grad();
      if (gradient.defined()) gradients[gradient.scalar_type()].push_back(gradient);
    }
  }
  return gradients;
}

}  // namespace

GradScaler::GradScaler(c10::Device device, const GradScalerOptions& options)
    : device_(device), options_(options), scale_(static_cast<float>(options.init_scale)) {}

at::Tensor GradScaler::scale(const at::Tensor& loss) const { return loss.to(at::kFloat) * scale_; }

bool GradScaler::unscale(const Optimizer& optimizer) {
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions(device_).dtype(at::kFloat);
  at::Tensor found_inf = at::zeros({}, options);
  const at::Tensor inverse = at::full({}, 1.0 / static_cast<double>(scale_), options);
  for (const auto& [type, gradients] : gradients_of(optimizer)) {
    at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf, inverse);
  }
  overflow_ = found_inf.item<float>() != 0;
  if (overflow_ && scale_ <= kLeastScale) {
    throw Error(ErrorKind::kNan, "gradients are not finite numbers although fp16's loss scale is ",
                "down at ", scale_,
                "; they are NaN or too large for float16: use training.precision",
                " = \"bf16\", lower optimizer.params.lr, or find where they come from with ",
                "training.precision = \"fp32\" and training.detect_anomaly = true");
  }
  return overflow_;
}

// The rule and the rounding of at::_amp_update_scale_, whose numbers are on the device.
void GradScaler::update() {
  if (overflow_) {
    scale_ = static_cast<float>(scale_ * options_.backoff_factor);
    growth_tracker_ = 0;
  } else if (growth_tracker_ += 1; growth_tracker_ == options_.growth_interval) {
    const auto grown = static_cast<float>(scale_ * options_.growth_factor);
    if (std::isfinite(grown)) scale_ = grown;
    growth_tracker_ = 0;
  }
  overflow_ = false;
}

Value GradScaler::state_dict() const {
  return Value::Table{{"scale", static_cast<double>(scale_)}, {"growth_tracker", growth_tracker_}};
}

void GradScaler::load_state_dict(const Value& state) {
  const Value* scale = state.find("scale");
  const Value* tracker = state.find("growth_tracker");
  const double number = scale == nullptr ? 0 : scale->as_float();
  const std::int64_t updates = tracker == nullptr ? -1 : tracker->as_integer();
  if (!(number > 0 && number <= std::numeric_limits<float>::max()) || updates < 0) {
    throw Error(ErrorKind::kCheckpoint, "the checkpoint's state of the loss scaler is ",
                to_string(state),
                "; expected a finite scale above 0, and a growth_tracker of 0 or "
                "more; set checkpoint.reset.fp16_scaler = true to begin with a new one");
  }
  scale_ = static_cast<float>(number);
  growth_tracker_ = updates;
  overflow_ = false;
}

}  // namespace pergola::host
