// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/flop_counter.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <atomic>
#include <memory>
#include <string_view>
#include <unordered_map>

namespace pergola::host {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

// Of one call of an operator.
struct Cost {
  std::int64_t flops = 0;
  std::int64_t flops_per_output = 0;  // for each element of its first result
};
using CostOf = Cost (*)(const Inputs&);

// LibTorch calls a plain function, on whatever thread a backward pass runs.
std::atomic<std::int64_t> counted = 0;
std::atomic<bool> is_counting = false;
// Autocast's form of an operator calls the operator itself: only the outer one counts.
thread_local int depth = 0;

const at::Tensor& tensor(const Inputs& inputs, std::size_t place) {
  return inputs[place].toTensor();
}

// [.., M, K] x [.., K, N]
Cost product(const at::Tensor& a, const at::Tensor& b) { return {2 * a.numel() * b.size(-1)}; }

// The result's rows and columns, and as many numbers in each sum as a row of the first two has in
// common: a [M, K] or [K, M], b [K, N] or [N, K], c [M, N].
Cost product_into(const at::Tensor& a, const at::Tensor& c) {
  return {c.size(0) == 0 ? 0 : 2 * (a.numel() / c.size(0)) * c.numel()};
}

Cost matrix_vector(const at::Tensor& a) { return {2 * a.numel()}; }

// Multiplications and additions for each element of the result of a convolution; of one that is
// transposed, for each of its input.
std::int64_t flops_per_element(const at::Tensor& weight) {
  return weight.size(0) == 0 ? 0 : 2 * (weight.numel() / weight.size(0));
}

Cost convolution(const Inputs& inputs) {
  const at::Tensor& weight = tensor(inputs, 1);
  const bool transposed = inputs[6].toBool();
  if (transposed) return {tensor(inputs, 0).numel() * flops_per_element(weight)};
  return {0, flops_per_element(weight)};
}

// The gradients of input and weight, whichever are wanted, cost what the forward pass costs.
Cost convolution_backward(const Inputs& inputs) {
  const at::Tensor& weight = tensor(inputs, 2);
  const bool transposed = inputs[7].toBool();
  const std::int64_t elements = tensor(inputs, transposed ? 1 : 0).numel();
  const c10::List<bool> wanted = inputs[10].toBoolList();
  const int gradients = (wanted[0] ? 1 : 0) + (wanted[1] ? 1 : 0);
  return {gradients * elements * flops_per_element(weight)};
}

// q [.., L, E], k [.., S, E], v [.., S, D]: q k^T and its product with v. k and v may have fewer
// heads than q; each is then used several times.
std::int64_t attention_flops(const Inputs& inputs, std::size_t q) {
  const std::int64_t width = tensor(inputs, q).size(-1);
  if (width == 0) return 0;
  const std::int64_t rows = tensor(inputs, q).numel() / width;
  const at::Tensor& v = tensor(inputs, q + 2);
  return 2 * rows * v.size(-2) * (width + v.size(-1));
}

// The lengths of sequences that stand one after the other, from where each begins and the last
// ends.
at::Tensor lengths(const c10::IValue& offsets) {
  const at::Tensor ends = offsets.toTensor();
  return ends.slice(0, 1).sub(ends.slice(0, 0, -1)).to(at::kLong);
}

// q [.., L, H, E], k [.., S, H, E], v [.., S, H, D], or, with offsets, [tokens, H, ..] of sequences
// of different lengths. Reading these waits for the device.
std::int64_t flash_flops(const Inputs& inputs, std::size_t q, std::size_t offsets) {
  const at::Tensor& query = tensor(inputs, q);
  const c10::IValue& given = inputs[offsets];
  const bool packed = given.isTensor() && given.toTensor().defined();
  const std::int64_t pairs =
      packed ? lengths(given).mul(lengths(inputs[offsets + 1])).sum().item<std::int64_t>()
             : query.size(0) * query.size(-3) * tensor(inputs, q + 1).size(-3);
  return 2 * pairs * query.size(-2) * (query.size(-1) + tensor(inputs, q + 2).size(-1));
}

// All rows of the input go through the matrices of each layer and direction.
std::int64_t recurrent_flops(const at::Tensor& input, std::int64_t weights) {
  return input.size(-1) == 0 ? 0 : 2 * (input.numel() / input.size(-1)) * weights;
}

std::int64_t cudnn_recurrent_flops(const Inputs& inputs) {
  std::int64_t weights = 0;
  for (const at::Tensor& weight : inputs[1].toTensorVector()) {
    if (weight.dim() == 2) weights += weight.numel();  // the others are biases
  }
  return recurrent_flops(tensor(inputs, 0), weights);
}

std::int64_t cpu_recurrent_flops(const Inputs& inputs) {
  return recurrent_flops(tensor(inputs, 0), tensor(inputs, 1).numel() + tensor(inputs, 2).numel());
}

const std::unordered_map<std::string_view, CostOf>& costs() {
  static const std::unordered_map<std::string_view, CostOf> kCosts = [] {
    std::unordered_map<std::string_view, CostOf> costs = {
        {"aten::mm", [](const Inputs& in) { return product(tensor(in, 0), tensor(in, 1)); }},
        {"pergola::product",
         [](const Inputs& in) { return product_into(tensor(in, 0), tensor(in, 2)); }},
        {"aten::bmm", [](const Inputs& in) { return product(tensor(in, 0), tensor(in, 1)); }},
        {"aten::addmm", [](const Inputs& in) { return product(tensor(in, 1), tensor(in, 2)); }},
        {"aten::baddbmm", [](const Inputs& in) { return product(tensor(in, 1), tensor(in, 2)); }},
        {"aten::mv", [](const Inputs& in) { return matrix_vector(tensor(in, 0)); }},
        {"aten::addmv", [](const Inputs& in) { return matrix_vector(tensor(in, 1)); }},
        {"aten::convolution", convolution},
        {"aten::convolution_backward", convolution_backward},
        {"aten::_flash_attention_forward",
         [](const Inputs& in) { return Cost{flash_flops(in, 0, 3)}; }},
        {"aten::_flash_attention_backward",
         [](const Inputs& in) { return Cost{2 * flash_flops(in, 1, 6)}; }},
        {"aten::_cudnn_rnn", [](const Inputs& in) { return Cost{cudnn_recurrent_flops(in)}; }},
        {"aten::_cudnn_rnn_backward",
         [](const Inputs& in) { return Cost{2 * cudnn_recurrent_flops(in)}; }},
        {"aten::mkldnn_rnn_layer", [](const Inputs& in) { return Cost{cpu_recurrent_flops(in)}; }},
        {"aten::mkldnn_rnn_layer_backward",
         [](const Inputs& in) { return Cost{2 * cpu_recurrent_flops(in)}; }}};
    for (const char* forward : {"aten::_scaled_dot_product_flash_attention",
                                "aten::_scaled_dot_product_flash_attention_for_cpu",
                                "aten::_scaled_dot_product_efficient_attention",
                                "aten::_scaled_dot_product_cudnn_attention"}) {
      costs[forward] = [](const Inputs& in) { return Cost{attention_flops(in, 0)}; };
    }
    for (const char* backward : {"aten::_scaled_dot_product_flash_attention_backward",
                                 "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
                                 "aten::_scaled_dot_product_efficient_attention_backward",
                                 "aten::_scaled_dot_product_cudnn_attention_backward"}) {
      // The first input is the gradient of the result.
      costs[backward] = [](const Inputs& in) { return Cost{2 * attention_flops(in, 1)}; };
    }
    return costs;
  }();
  return kCosts;
}

struct Call final : at::ObserverContext {
  explicit Call(Cost call_cost) : cost(call_cost) { ++depth; }
  ~Call() override { --depth; }

  Cost cost;
};

std::unique_ptr<at::ObserverContext> on_call(const at::RecordFunction& function) {
  const auto found = costs().find(function.name());
  if (found == costs().end() || depth > 0) return nullptr;
  return std::make_unique<Call>(found->second(function.inputs()));
}

void on_return(const at::RecordFunction& function, at::ObserverContext* context) {
  if (context == nullptr || function.outputs().empty()) return;  // without results it has thrown
  const Cost& cost = static_cast<const Call&>(*context).cost;
  std::int64_t flops = cost.flops;
  if (cost.flops_per_output != 0) {
    flops += cost.flops_per_output * function.outputs().front().toTensor().numel();
  }
  counted += flops;
}

}  // namespace

FlopCounter::FlopCounter() {
  PERGOLA_ASSERT(!is_counting.exchange(true));
  counted = 0;
  handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(on_call, on_return)
                                           .needsInputs(true)
                                           .needsOutputs(true)
                                           .scopes({at::RecordScope::FUNCTION}));
}

FlopCounter::~FlopCounter() {
  at::removeCallback(handle_);
  is_counting = false;
}

std::int64_t FlopCounter::flops() const noexcept { return counted; }

}  // namespace pergola::host
