// SPDX-License-Identifier: BSD-3-Clause
// The parts of a BERT-base layer, forward and backward, for the tokens of 128 samples of VQA v2
// without their padding, under autocast to bfloat16.
#include "host/device/autocast.h"
#include "pergola/ops.h"
#include "tools/bench/ops_cases.h"

#include <torch/types.h>

#include <cstdint>
#include <utility>

namespace pergola::host {
namespace {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<at::Tensor(const Tensors&)>;

constexpr std::int64_t kTokens = 14080;
constexpr std::int64_t kWidth = 768;
constexpr std::int64_t kInner = 3072;
constexpr double kEps = 1e-12;

// The first `narrow` of the leaves are activations.
Tensors leaves_on(c10::Device device, const std::vector<std::vector<std::int64_t>>& sizes,
                  std::size_t narrow) {
  Tensors leaves;
  for (const auto& each : sizes) {
    const at::ScalarType type = leaves.size() < narrow ? at::kBFloat16 : at::kFloat;
    leaves.push_back((torch::randn(each) * 0.02).to(device, type).requires_grad_(true));
  }
  return leaves;
}

std::function<void()> both_ways(const Tensors& leaves, const Function& function) {
  const c10::Device device = leaves.front().device();
  const auto forward = [=] {
    const AutocastScope autocast(device, Precision::kBf16);
    return function(leaves);
  };
  const at::Tensor pull = torch::randn_like(forward());
  return [=] {
    forward().backward(pull);
    for (const at::Tensor& leaf : leaves) leaf.mutable_grad() = at::Tensor();
  };
}

OpCase norm_case(c10::Device device, double dropout) {
  const Tensors leaves =
      leaves_on(device, {{kTokens, kWidth}, {kTokens, kWidth}, {kWidth}, {kWidth}}, 2);
  const auto apply = [dropout](auto op) {
    return [=](const Tensors& x) { return op(x[0], x[1], x[2], x[3], dropout, kEps); };
  };
  // Forward x, residual, sum, y; backward dy, sum, and a gradient or two.
  const double passes = dropout > 0 ? 8 : 7;
  return {"dropout_add_layer_norm p=" + std::to_string(dropout).substr(0, 3),
          both_ways(leaves, apply(ops::dropout_add_layer_norm)),
          both_ways(leaves, apply(ops::unfused::dropout_add_layer_norm)),
          passes * kTokens * kWidth * 2};
}

OpCase projections_case(c10::Device device) {
  const Tensors leaves = leaves_on(device,
                                   {{kTokens, kWidth},
                                    {kWidth, kWidth},
                                    {kWidth, kWidth},
                                    {kWidth, kWidth},
                                    {kWidth},
                                    {kWidth},
                                    {kWidth}},
                                   1);
  const auto apply = [](auto op) {
    return [=](const Tensors& x) {
      return at::cat(op(x[0], Tensors{x[1], x[2], x[3]}, Tensors{x[4], x[5], x[6]}), -1);
    };
  };
  return {"projections q, k, v", both_ways(leaves, apply(ops::projections)),
          both_ways(leaves, apply(ops::unfused::projections))};
}

OpCase feed_forward_case(c10::Device device) {
  const Tensors leaves = leaves_on(
      device, {{kTokens, kWidth}, {kInner, kWidth}, {kInner}, {kWidth, kInner}, {kWidth}}, 1);
  const auto apply = [](auto op) {
    return [=](const Tensors& x) { return op(x[0], x[1], x[2], x[3], x[4], ops::Gelu::kErf); };
  };
  return {"feed_forward", both_ways(leaves, apply(ops::feed_forward)),
          both_ways(leaves, apply(ops::unfused::feed_forward))};
}

OpCase embedding_case(c10::Device device) {
  const Tensors leaves =
      leaves_on(device, {{30522, kWidth}, {512, kWidth}, {2, kWidth}, {kWidth}, {kWidth}}, 0);
  const auto rows_of = [&](std::int64_t count) {
    return torch::randint(0, count, {kTokens}, at::kLong).to(device);
  };
  const Tensors rows = {rows_of(30522), rows_of(20), at::zeros_like(rows_of(2))};
  const auto apply = [rows](auto op) {
    return [=](const Tensors& x) {
      return op(Tensors{x[0], x[1], x[2]}, rows, x[3], x[4], 0.1, kEps);
    };
  };
  return {"embedding_layer_norm", both_ways(leaves, apply(ops::embedding_layer_norm)),
          both_ways(leaves, apply(ops::unfused::embedding_layer_norm))};
}

}  // namespace

std::vector<OpCase> transformer_cases(c10::Device device) {
  return {norm_case(device, 0), norm_case(device, 0.1), projections_case(device),
          feed_forward_case(device), embedding_case(device)};
}

}  // namespace pergola::host
