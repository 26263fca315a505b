// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/ops.h"
#include "tools/bench/ops_cases.h"

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>

namespace pergola::host {
namespace {

using LossOf = std::function<at::Tensor(const at::Tensor& logits)>;

constexpr std::int64_t kIgnored = -1;

std::function<void()> both_ways(const at::Tensor& logits, const LossOf& loss_of) {
  return [=] {
    loss_of(logits).backward();
    logits.mutable_grad() = at::Tensor();
  };
}

// Reads the logits twice and writes their gradient; what they are compared with is as much or less.
OpCase loss_case(std::string name, const at::Tensor& logits, const LossOf& fused,
                 const LossOf& unfused, double target_bytes) {
  const auto count = static_cast<double>(logits.numel());
  return {std::move(name), both_ways(logits, fused), both_ways(logits, unfused),
          count * (3 * static_cast<double>(logits.element_size()) + 2 * target_bytes)};
}

at::Tensor logits_on(c10::Device device, std::int64_t rows, std::int64_t classes) {
  return torch::randn({rows, classes}).to(device, at::kBFloat16).requires_grad_(true);
}

OpCase bce_case(c10::Device device, std::int64_t rows, std::int64_t classes) {
  const at::Tensor targets = torch::rand({rows, classes}).to(device);
  return loss_case(
      "bce_with_logits " + std::to_string(rows) + " x " + std::to_string(classes),
      logits_on(device, rows, classes),
      [=](const at::Tensor& x) { return ops::bce_with_logits(x, targets); },
      [=](const at::Tensor& x) { return ops::unfused::bce_with_logits(x, targets); }, 4);
}

// `share` of the rows count.
OpCase cross_entropy_case(c10::Device device, std::int64_t rows, std::int64_t classes,
                          double share) {
  const at::Tensor numbers = torch::randint(classes, {rows}, torch::kLong);
  const at::Tensor targets =
      numbers.masked_fill(torch::rand({rows}).ge(share), kIgnored).to(device);
  constexpr ops::EmptyMean kZero = ops::EmptyMean::kZero;
  return loss_case(
      "cross_entropy " + std::to_string(rows) + " x " + std::to_string(classes),
      logits_on(device, rows, classes),
      [=](const at::Tensor& x) { return ops::cross_entropy(x, targets, kIgnored, kZero); },
      [=](const at::Tensor& x) { return ops::unfused::cross_entropy(x, targets, kIgnored, kZero); },
      0);
}

}  // namespace

std::vector<OpCase> loss_cases(c10::Device device) {
  return {bce_case(device, 128, 3129), bce_case(device, 512, 3129),
          cross_entropy_case(device, 128, 3129, 1), cross_entropy_case(device, 512, 3129, 1),
          cross_entropy_case(device, 4096, 30522, 0.15)};  // masked words, 15 %
}

}  // namespace pergola::host
