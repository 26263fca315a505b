// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/grad_scaler.h"

#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

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

GradScaler::GradScaler(c10::Device device, const GradScalerOptions& options) : options_(options) {
  const auto floats = at::TensorOptions(device).dtype(at::kFloat);
  scale_ = at::full({}, options.init_scale, floats);
  growth_tracker_ = at::zeros({}, floats.dtype(at::kInt));
  findings_ = at::zeros({2}, floats);
  overflow_ = findings_[0];
  exhausted_ = findings_[1];
}

at::Tensor GradScaler::scale(const at::Tensor& loss) const { return loss.to(at::kFloat) * scale_; }

bool GradScaler::unscale(const Optimizer& optimizer) {
  unscale_gradients(optimizer);
  return overflowed();
}

void GradScaler::unscale_gradients(const Optimizer& optimizer) {
  const at::NoGradGuard no_grad;
  overflow_.zero_();
  const at::Tensor inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
  for (const auto& [type, gradients] : gradients_of(optimizer)) {
    at::_amp_foreach_non_finite_check_and_unscale_(gradients, overflow_, inverse);
  }
  exhausted_.add_(overflow_ * scale_.le(kLeastScale));
}

bool GradScaler::overflowed() const {
  const at::Tensor findings = findings_.cpu();
  if (findings[1].item<float>() != 0) {
    throw Error(ErrorKind::kNan, "gradients are not finite numbers although fp16's loss scale is ",
                "down at ", current_scale(),
                "; they are NaN or too large for float16: use training.precision",
                " = \"bf16\", lower optimizer.params.lr, or find where they come from with ",
                "training.precision = \"fp32\" and training.detect_anomaly = true");
  }
  return findings[0].item<float>() != 0;
}

void GradScaler::update() {
  const at::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, growth_tracker_, overflow_, options_.growth_factor,
                         options_.backoff_factor, options_.growth_interval);
  // Overflows there are an error, which may be read much later; until then a scale of 0 would be
  // saved, which no run can go on with.
  scale_.clamp_min_(kLeastScale / 2);
}

void GradScaler::keep() {
  kept_scale_ = scale_.clone();
  kept_tracker_ = growth_tracker_.clone();
}

// In place: recordings read and write this memory.
void GradScaler::restore() {
  scale_.copy_(kept_scale_);
  growth_tracker_.copy_(kept_tracker_);
}

double GradScaler::current_scale() const { return scale_.item<float>(); }

std::int64_t GradScaler::growth_tracker() const { return growth_tracker_.item<int>(); }

Value GradScaler::state_dict() const {
  return Value::Table{{"scale", current_scale()}, {"growth_tracker", growth_tracker()}};
}

void GradScaler::load_state_dict(const Value& state) {
  const Value* scale = state.find("scale");
  const Value* tracker = state.find("growth_tracker");
  const double number = scale == nullptr ? 0 : scale->as_float();
  const std::int64_t updates = tracker == nullptr ? -1 : tracker->as_integer();
  if (!(number > 0 && number <= std::numeric_limits<float>::max()) || updates < 0 ||
      updates > std::numeric_limits<int>::max()) {
    throw Error(ErrorKind::kCheckpoint, "the checkpoint's state of the loss scaler is ",
                to_string(state),
                "; expected a finite scale above 0, and a growth_tracker of 0 or "
                "more; set checkpoint.reset.fp16_scaler = true to begin with a new one");
  }
  const at::NoGradGuard no_grad;
  scale_.fill_(number);
  growth_tracker_.fill_(updates);
  findings_.zero_();
}

}  // namespace pergola::host
