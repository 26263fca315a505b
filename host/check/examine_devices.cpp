// SPDX-License-Identifier: BSD-3-Clause
// Examinations of number formats and devices.
#include "host/check/examination.h"
#include "host/device/autocast.h"
#include "host/device/stream_capture.h"
#include "host/device/waiting_operations.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/rnn.h>

#include <algorithm>

namespace pergola::host {
namespace {

// What a pass in eval() makes, and the gradient of its loss, all in one.
struct Numbers {
  at::Tensor scores;  // undefined where there are none
  at::Tensor loss;
  at::Tensor gradient;  // of all parameters, one after the other
};

Numbers compute(BaseModel& model, const SampleList& batch) {
  Numbers numbers;
  model.zero_grad();
  const ModelOutput output = call(model, batch);
  numbers.scores = output.scores;
  const at::Tensor loss = loss_of(model, output);
  backward(model, loss);
  numbers.loss = loss.detach();
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : model.parameters()) {
    if (parameter.grad().defined()) {
      gradients.push_back(parameter.grad().flatten().to(at::kCPU, at::kFloat));
    }
  }
  if (gradients.empty()) throw Error(ErrorKind::kPlugin, "no parameter got a gradient");
  numbers.gradient = at::cat(gradients);
  return numbers;
}

// LibTorch on a GPU differentiates an LSTM in train() only.
void eval_but_rnn(BaseModel& model) {
  model.eval();
  for (const auto& module : model.modules(/*include_self=*/false)) {
    const bool is_rnn = module->as<torch::nn::LSTMImpl>() != nullptr ||
                        module->as<torch::nn::GRUImpl>() != nullptr ||
                        module->as<torch::nn::RNNImpl>() != nullptr;
    if (is_rnn) module->train();
  }
}

struct Limits {
  double scores;
  double gradient;
};

// Whether `found` is within the limits of `expected`, which `who` names: "bf16 and fp32".
Finding compare(const Numbers& found, const Numbers& expected, const Limits& limits,
                const char* who) {
  Figures figures;
  figures["gradient_difference"] = relative_difference(found.gradient, expected.gradient);
  figures["loss_difference"] = relative_difference(found.loss, expected.loss);
  if (expected.scores.defined()) {
    figures["scores_difference"] = relative_difference(found.scores, expected.scores);
  }
  const auto is_within = [&](const char* name, double limit) {
    return !figures.contains(name) || figures[name] <= limit;  // false for NaN
  };
  const std::string scores = figures.contains("scores_difference")
                                 ? concat("scores ", text_of(figures["scores_difference"]), ", ")
                                 : "";
  const std::string told =
      concat(scores, "loss ", text_of(figures["loss_difference"]), ", gradient ",
             text_of(figures["gradient_difference"]), " apart (norms)");
  if (is_within("scores_difference", limits.scores) &&
      is_within("loss_difference", limits.scores) &&
      is_within("gradient_difference", limits.gradient)) {
    return passed(told, figures);
  }
  return failed(concat(who, " do not agree: ", told, "; expected at most ", limits.scores, " and ",
                       limits.gradient),
                figures);
}

std::string describe(const std::map<std::string, std::int64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) parts.push_back(concat(count, " × ", name));
  return join(parts);
}

}  // namespace

Finding examine_bf16(const Subject& subject) {
  // 8 bits of mantissa: 0.4 % a rounding, and some layers of them.
  constexpr Limits kLimits{0.05, 0.2};
  const std::shared_ptr<BaseModel> model = subject.build();
  model->eval();
  const SampleList batch = subject.batch(*model, {.count = kExampleBatch});
  const Numbers expected = compute(*model, batch);
  const AutocastScope autocast(at::kCPU, Precision::kBf16);
  return compare(compute(*model, batch), expected, kLimits, "bf16 and fp32");
}

Finding examine_cuda(const Subject& subject) {
  constexpr Limits kLimits{1e-4, 1e-3};
  const std::optional<c10::Device>& gpu = subject.gpu().device;
  if (!gpu) return skipped(subject.gpu().problem);
  apply_precision(Precision::kFp32, *gpu);
  const std::shared_ptr<BaseModel> model = subject.build();
  eval_but_rnn(*model);
  const SampleList batch = subject.batch(*model, {.count = kExampleBatch});
  const Numbers expected = compute(*model, batch);
  move_to(*model, *gpu);
  return compare(compute(*model, batch.to(*gpu)), expected, kLimits, "the GPU and the CPU");
}

Finding examine_synchronisations(const Subject& subject) {
  constexpr std::int64_t kSteps = 4;
  const c10::Device device = subject.device();
  const std::shared_ptr<BaseModel> model = subject.build();
  move_to(*model, device);
  const std::unique_ptr<Optimizer> optimizer = subject.optimizer(*model);
  const SampleList batch = subject.batch(*model, {.count = kExampleBatch}).to(device);
  update(*model, *optimizer, batch);  // what is only at the first step
  const WaitingOperations waiting(device);
  for (int i = 0; i < kSteps; ++i) differentiate(*model, batch);
  std::map<std::string, std::int64_t> counts = waiting.counts();
  std::int64_t sum = 0;
  for (auto& [name, count] : counts) {
    count = (count + kSteps - 1) / kSteps;
    sum += count;
  }
  const std::string where = device.is_cpu() ? " (counted on the CPU)" : "";
  return passed(sum == 0 ? "none" + where : concat(sum, " a step: ", describe(counts), where),
                {{"synchronisations", static_cast<double>(sum)}});
}

Finding examine_cuda_graph(const Subject& subject) {
  const std::optional<c10::Device>& gpu = subject.gpu().device;
  if (!gpu) return skipped(subject.gpu().problem);
  const std::shared_ptr<BaseModel> model = subject.build();
  move_to(*model, *gpu);
  eval_but_rnn(*model);  // dropout asks who records for its generator
  const SampleList batch = subject.batch(*model, {.count = kExampleBatch}).to(*gpu);
  const std::string problem = capture_problem(*gpu, [&] { differentiate(*model, batch); });
  const Figures figures = {{"capturable", problem.empty() ? 1.0 : 0.0}};
  return passed(problem.empty() ? "forward, losses and backward, in eval(), can be recorded"
                                : "cannot be recorded, so it runs step by step: " + problem,
                figures);
}

}  // namespace pergola::host
