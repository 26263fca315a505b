// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/subject.h"

#include "host/device/cuda.h"
#include "host/device/device.h"
#include "host/model/builder.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

namespace pergola::host {
namespace {

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const at::Tensor left = a.detach().cpu().contiguous();
  const at::Tensor right = b.detach().cpu().contiguous();
  return std::memcmp(left.const_data_ptr(), right.const_data_ptr(), left.nbytes()) == 0;
}

}  // namespace

Gpu Gpu::find() {
  Gpu gpu;
  gpu.problem = probe_cuda().problem;
  if (gpu.problem.empty()) gpu.device = select_device("cuda");
  return gpu;
}

Subject::Subject(const Registry& registry, std::string key, Value config, const ModelInputs& inputs,
                 Gpu gpu)
    : registry_(registry),
      key_(std::move(key)),
      config_(std::move(config)),
      batches_(inputs, config_),
      sizes_(inputs.sizes),
      without_gradient_(inputs.without_gradient),
      gpu_(std::move(gpu)) {}

std::shared_ptr<BaseModel> Subject::build(std::uint64_t seed) const {
  at::manual_seed(seed);
  return build_model(registry_, key_, Config(config_, "model_config." + key_), Value::Table{});
}

std::unique_ptr<Optimizer> Subject::optimizer(const BaseModel& model, double lr) const {
  const Value config = Value::Table{{"type", "adamw"}, {"params", Value(Value::Table{{"lr", lr}})}};
  return build_optimizer(registry_, model, Config(config, "optimizer"));
}

SampleList Subject::batch(const BaseModel& model, const BatchPlan& plan) const {
  SampleList batch = batches_.make(plan);
  hooked(model, "on_before_batch_transfer()", [&] { model.on_before_batch_transfer(batch); });
  return batch;
}

void move_to(BaseModel& model, c10::Device device) {
  hooked(model, "to()", [&] { model.to(device); });
}

ModelOutput call(BaseModel& model, const SampleList& batch) {
  if (model.is_training()) {
    return hooked(model, "training_step()", [&] { return model.training_step(batch, 0); });
  }
  return hooked(model, "validation_step()", [&] { return model.validation_step(batch, 0); });
}

at::Tensor loss_of(const BaseModel& model, const ModelOutput& output) {
  if (output.losses && !output.losses->empty()) return total_loss(*output.losses);
  throw Error(ErrorKind::kPlugin, "model '", key_of(model),
              "' has no loss to learn from: name one in `losses` of its config, or return "
              "`losses` from forward(); the field `targets` must be in [models.",
              key_of(model), ".fields] for the losses of the config");
}

void backward(const BaseModel& model, const at::Tensor& loss) {
  if (!loss.requires_grad()) {
    throw Error(ErrorKind::kPlugin, "the losses of model '", key_of(model),
                "' do not depend on any parameter: nothing can be learnt; is something detached, "
                "or computed under a NoGradGuard?");
  }
  hooked(model, "the backward pass", [&] { loss.backward(); });
}

at::Tensor differentiate(BaseModel& model, const SampleList& batch) {
  const at::Tensor loss = loss_of(model, call(model, batch));
  backward(model, loss);
  return loss.detach();
}

at::Tensor update(BaseModel& model, Optimizer& optimizer, const SampleList& batch) {
  optimizer.zero_grad();
  at::Tensor loss = differentiate(model, batch);
  optimizer.step();
  return loss;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor expected = b.detach().to(at::kCPU, at::kDouble);
  const double size = expected.norm().item<double>();
  const double error = (a.detach().to(at::kCPU, at::kDouble) - expected).norm().item<double>();
  return error / std::max(size, std::numeric_limits<double>::min());
}

std::string text_of(double number) { return std::isnan(number) ? "nan" : concat(number); }

std::vector<std::string> differing(const StateDict& a, const StateDict& b) {
  std::map<std::string, const at::Tensor*> others;
  for (const auto& [name, tensor] : b) others[name] = &tensor;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : a) {
    const auto other = others.find(name);
    if (other == others.end() || !same_bits(tensor, *other->second)) names.push_back(name);
    if (other != others.end()) others.erase(other);
  }
  for (const auto& [name, tensor] : others) names.push_back(name);
  return names;
}

StateDict copy_of(const StateDict& state) {
  StateDict copy;
  copy.reserve(state.size());
  for (const auto& [name, tensor] : state) copy.emplace_back(name, tensor.detach().clone());
  return copy;
}

std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 4;
  if (names.size() <= kMost) return join(names);
  const std::vector<std::string> first(names.begin(), names.begin() + kMost);
  return concat(join(first), " and ", names.size() - kMost, " more");
}

}  // namespace pergola::host
