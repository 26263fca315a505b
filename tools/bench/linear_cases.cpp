// SPDX-License-Identifier: BSD-3-Clause
// Linear layers as Pythia has them for VQA v2, forward and backward, under autocast to bfloat16: of
// 512 images with 100 regions, scores of the regions by one query, and answers. In float32 the
// first of them, and one of a small model.
#include "host/device/autocast.h"
#include "pergola/ops.h"
#include "tools/bench/ops_cases.h"

#include <torch/types.h>

#include <cstdint>
#include <utility>

namespace pergola::host {
namespace {

using LayerTensors = std::vector<at::Tensor>;

constexpr std::int64_t kBatch = 512;
constexpr std::int64_t kRegions = 100;
constexpr std::int64_t kFeature = 2048;
constexpr std::int64_t kHidden = 5000;
constexpr std::int64_t kAnswers = 3129;

at::Tensor layer_leaf(c10::Device device, at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
  return (torch::randn(sizes, device) * 0.02).to(type).requires_grad_(true);
}

// Leaves of which the first is in float32 are not for autocast.
template <class Function>
std::function<void()> layer_both_ways(const LayerTensors& leaves, const Function& function) {
  const at::Tensor& x = leaves.front();
  const Precision precision = x.scalar_type() == at::kFloat ? Precision::kFp32 : Precision::kBf16;
  const auto forward = [=] {
    const AutocastScope autocast(leaves.front().device(), precision);
    return function(leaves);
  };
  const at::Tensor pull = torch::randn_like(forward());
  return [=] {
    forward().backward(pull);
    for (const at::Tensor& leaf : leaves) leaf.mutable_grad() = at::Tensor();
  };
}

// x, weight, bias and weight_g, which is read where `normalized`.
OpCase layer_case(const std::string& name, const LayerTensors& leaves, bool normalized,
                  ops::Activation activation) {
  const auto apply = [=](auto op) {
    return [=](const LayerTensors& x) {
      const at::Tensor g = normalized ? x[3] : at::Tensor();
      return op(x[0], ops::LinearLayer{x[1], x[2], g, activation});
    };
  };
  return {name, layer_both_ways(leaves, apply(ops::linear)),
          layer_both_ways(leaves, apply(ops::unfused::linear))};
}

OpCase dots_case(c10::Device device) {
  const LayerTensors leaves = {layer_leaf(device, {kBatch, kRegions, kFeature}, at::kBFloat16),
                               layer_leaf(device, {kHidden, kFeature}),
                               layer_leaf(device, {kHidden}),
                               layer_leaf(device, {}),
                               layer_leaf(device, {kBatch, 1, kHidden}, at::kBFloat16),
                               layer_leaf(device, {1})};
  const auto apply = [](auto op) {
    return [=](const LayerTensors& x) {
      return op(x[0], ops::LinearLayer{x[1], x[2], x[3], ops::Activation::kRelu}, x[4], x[5]);
    };
  };
  return {"linear_dot_rows normalized relu", layer_both_ways(leaves, apply(ops::linear_dot_rows)),
          layer_both_ways(leaves, apply(ops::unfused::linear_dot_rows))};
}

// One query's scores of regions, or its sums with their weights.
template <class Function>
OpCase thin_case(const std::string& name, const LayerTensors& leaves, const Function& fused,
                 const Function& unfused) {
  const auto apply = [](const Function& op) {
    return [=](const LayerTensors& x) { return op(x[0], x[1]); };
  };
  return {name, layer_both_ways(leaves, apply(fused)), layer_both_ways(leaves, apply(unfused))};
}

}  // namespace

std::vector<OpCase> linear_cases(c10::Device device) {
  const auto leaves = [&](std::int64_t rows, std::int64_t inputs, std::int64_t outputs,
                          at::ScalarType type = at::kBFloat16) {
    return LayerTensors{layer_leaf(device, {rows, inputs}, type),
                        layer_leaf(device, {outputs, inputs}), layer_leaf(device, {outputs}),
                        layer_leaf(device, {})};
  };
  const auto half = [&](at::IntArrayRef sizes) { return layer_leaf(device, sizes, at::kBFloat16); };
  return {layer_case("linear relu, regions", leaves(kBatch * kRegions, kFeature, kFeature),
                     /*normalized=*/false, ops::Activation::kRelu),
          layer_case("linear relu, regions, float32",
                     leaves(kBatch * kRegions, kFeature, kFeature, at::kFloat),
                     /*normalized=*/false, ops::Activation::kRelu),
          layer_case("linear relu, 64 rows of 256, float32", leaves(64, 256, 256, at::kFloat),
                     /*normalized=*/false, ops::Activation::kRelu),
          layer_case("linear normalized relu", leaves(kBatch, kHidden, kHidden),
                     /*normalized=*/true, ops::Activation::kRelu),
          layer_case("linear, 3129 answers", leaves(kBatch, kHidden, kAnswers),
                     /*normalized=*/false, ops::Activation::kNone),
          dots_case(device),
          thin_case("dot_rows", {half({kBatch, kRegions, kFeature}), half({kBatch, 1, kFeature})},
                    &ops::dot_rows, &ops::unfused::dot_rows),
          thin_case("sum_rows", {half({kBatch, kRegions, 1}), half({kBatch, kRegions, kFeature})},
                    &ops::sum_rows, &ops::unfused::sum_rows)};
}

}  // namespace pergola::host
