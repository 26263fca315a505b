// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/fused_adam.h"
#include "tools/bench/ops_cases.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <cstdint>
#include <memory>

namespace pergola::host {
namespace {

constexpr FusedAdam::Options kOptions = {
    .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};
constexpr double kRate = 5e-5;
constexpr double kMaxNorm = 1;

// The shapes of BERT-base's parameters, with a head of 3129 answers: 112 million numbers.
std::vector<std::vector<std::int64_t>> bert_base() {
  constexpr std::int64_t kWidth = 768;
  constexpr std::int64_t kInner = 3072;
  std::vector<std::vector<std::int64_t>> shapes = {
      {30522, kWidth}, {512, kWidth}, {2, kWidth}, {kWidth}, {kWidth}};
  for (int layer = 0; layer < 12; ++layer) {
    for (int i = 0; i < 4; ++i) shapes.insert(shapes.end(), {{kWidth, kWidth}, {kWidth}});
    shapes.insert(shapes.end(), {{kWidth}, {kWidth}, {kInner, kWidth}, {kInner}});
    shapes.insert(shapes.end(), {{kWidth, kInner}, {kWidth}, {kWidth}, {kWidth}});
  }
  shapes.insert(shapes.end(), {{kWidth, kWidth}, {kWidth}, {3129, kWidth}, {3129}});
  return shapes;
}

struct Step {
  FusedAdam::Batch batch;
  FusedAdam adam{{kOptions}, FusedAdam::Rule::kAdamW};
  double numbers = 0;
};

std::shared_ptr<Step> step_on(c10::Device device) {
  const auto step = std::make_shared<Step>();
  const at::TensorOptions floats = at::TensorOptions(device).dtype(at::kFloat);
  for (const std::vector<std::int64_t>& shape : bert_base()) {
    step->batch.parameters.push_back(at::randn(shape, floats));
    step->batch.gradients.push_back(at::randn(shape, floats));
    step->batch.averages.push_back(at::zeros(shape, floats));
    step->batch.squares.push_back(at::zeros(shape, floats));
    step->batch.steps.push_back(at::zeros({}, floats));
    step->batch.groups.push_back(0);
    step->numbers += static_cast<double>(step->batch.parameters.back().numel());
  }
  return step;
}

void make_copies(const FusedAdam::Batch& batch) {
  const auto op = c10::Dispatcher::singleton().findSchema({"pergola::low_precision_copy", ""});
  if (!op) return;
  const at::NoGradGuard no_grad;
  for (const at::Tensor& parameter : batch.parameters) {
    static_cast<void>(op->typed<at::Tensor(const at::Tensor&)>().call(parameter));
  }
}

void unfused_step(const FusedAdam::Batch& batch) {
  at::_foreach_add_(batch.steps, 1);
  at::_fused_adamw_(batch.parameters, batch.gradients, batch.averages, batch.squares, {},
                    batch.steps, kRate, kOptions.beta1, kOptions.beta2, kOptions.weight_decay,
                    kOptions.eps, /*amsgrad=*/false, /*maximize=*/false);
}

at::Tensor clip_scale(const at::Tensor& norm) { return (kMaxNorm / (norm + 1e-6)).clamp_max(1.0); }

}  // namespace

std::vector<OpCase> optimizer_cases(c10::Device device) {
  const auto alone = step_on(device);
  const auto whole = step_on(device);
  if (!device.is_cpu()) make_copies(whole->batch);
  constexpr double kStepBytes = 28;  // reads four numbers, writes three
  constexpr double kCopyBytes = 2;
  const auto unfused_whole = [whole] {
    const FusedAdam::Batch& batch = whole->batch;
    const at::Tensor norm = at::stack(at::_foreach_norm(batch.gradients, 2)).norm(2);
    at::_foreach_mul_(batch.gradients, clip_scale(norm));
    unfused_step(batch);
    for (const at::Tensor& parameter : batch.parameters) {
      static_cast<void>(parameter.to(at::kBFloat16));
    }
  };
  const auto fused_whole = [whole] {
    whole->adam.scale_next(clip_scale(l2_norm(whole->batch.gradients)));
    whole->adam.step(whole->batch, {kRate});
  };
  return {{"norm of BERT-base's gradients",
           [alone] { static_cast<void>(l2_norm(alone->batch.gradients)); },
           [alone] {
             static_cast<void>(at::stack(at::_foreach_norm(alone->batch.gradients, 2)).norm(2));
           },
           4 * alone->numbers},
          {"adamw step of BERT-base", [alone] { alone->adam.step(alone->batch, {kRate}); },
           [alone] { unfused_step(alone->batch); }, kStepBytes * alone->numbers},
          {"clip, adamw step, bf16 weights", fused_whole, unfused_whole,
           (4 + kStepBytes + kCopyBytes) * whole->numbers}};
}

}  // namespace pergola::host
