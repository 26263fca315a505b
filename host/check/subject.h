// SPDX-License-Identifier: BSD-3-Clause
// The model under examination: made as often as an examination wants it, always from the same
// config, with its losses and an optimizer. In the process of one examination; main thread.
#pragma once

#include "host/check/example_batch.h"
#include "host/model/guard.h"
#include "host/plugin/manifest.h"
#include "pergola/base_model.h"
#include "pergola/registry.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// Samples of a batch: odd, so that no halving of it comes out even.
inline constexpr std::int64_t kExampleBatch = 5;
// Updates where more than one is needed: what is wrong may only show after the first.
inline constexpr int kExampleUpdates = 3;

// The learning rate of an optimizer that nothing else is said of.
inline constexpr double kExampleRate = 1e-3;

// The GPU for those examinations that want one, or why there is none.
struct Gpu {
  std::optional<c10::Device> device;
  std::string problem;  // "" where there is a device

  // Loads CUDA where it can be used: before any plugin is loaded.
  [[nodiscard]] static Gpu find();
};

class Subject {
 public:
  // `config`: of the model, complete. The registry must outlive it.
  Subject(const Registry& registry, std::string key, Value config, const ModelInputs& inputs,
          Gpu gpu = {});

  // The model, on the CPU and in train(), with weights drawn from `seed`. Throws Error.
  [[nodiscard]] std::shared_ptr<BaseModel> build(std::uint64_t seed = 1) const;
  // AdamW over what the model says is to be trained.
  [[nodiscard]] std::unique_ptr<Optimizer> optimizer(const BaseModel& model,
                                                     double lr = kExampleRate) const;
  [[nodiscard]] const ExampleBatches& batches() const noexcept { return batches_; }
  // A batch as the training loop has it for that model, on the CPU: prepared by it.
  [[nodiscard]] SampleList batch(const BaseModel& model, const BatchPlan& plan) const;
  [[nodiscard]] const std::string& key() const noexcept { return key_; }
  // Of each size of its fields the least and the most.
  [[nodiscard]] const std::map<std::string, SizeRange>& sizes() const noexcept { return sizes_; }
  // What gets no gradient on purpose, as the manifest says.
  [[nodiscard]] const std::vector<std::string>& without_gradient() const noexcept {
    return without_gradient_;
  }
  [[nodiscard]] const Gpu& gpu() const noexcept { return gpu_; }
  // The GPU where there is one, or the CPU.
  [[nodiscard]] c10::Device device() const { return gpu_.device.value_or(c10::kCPU); }

 private:
  const Registry& registry_;
  std::string key_;
  Value config_;
  ExampleBatches batches_;
  std::map<std::string, SizeRange> sizes_;
  std::vector<std::string> without_gradient_;
  Gpu gpu_;
};

// Calls a hook of the model so that what it throws names it.
template <class Call>
auto hooked(const BaseModel& model, std::string_view name, Call call) {
  return guarded(Hook{.name = name, .kind = "model", .key = key_of(model)}, call);
}

// The calls of the training loop, one by one, each guarded with the hook's name.

void move_to(BaseModel& model, c10::Device device);
// training_step(), or validation_step() where the model is in eval(); `batch_idx` 0.
[[nodiscard]] ModelOutput call(BaseModel& model, const SampleList& batch);
// The sum of its losses. Throws Error{kPlugin} when it has none.
[[nodiscard]] at::Tensor loss_of(const BaseModel& model, const ModelOutput& output);
// Throws Error{kPlugin} where the loss depends on no parameter.
void backward(const BaseModel& model, const at::Tensor& loss);
// Forward and backward: the gradients are there then. Returns the loss.
at::Tensor differentiate(BaseModel& model, const SampleList& batch);
// One update of the training loop: old gradients go, then differentiate() and the optimizer's step.
at::Tensor update(BaseModel& model, Optimizer& optimizer, const SampleList& batch);

// ||a - b|| / ||b|| in double precision, over all elements; of tensors on any device.
[[nodiscard]] double relative_difference(const at::Tensor& a, const at::Tensor& b);

// As in a sentence; a NaN has no sign.
[[nodiscard]] std::string text_of(double number);

// The names of the tensors whose bits differ, in the order of `a`, and of those that only one of
// the two has.
[[nodiscard]] std::vector<std::string> differing(const StateDict& a, const StateDict& b);
// The same tensors with memory of their own.
[[nodiscard]] StateDict copy_of(const StateDict& state);

// "a, b, c and 4 more".
[[nodiscard]] std::string some_of(const std::vector<std::string>& names);

}  // namespace pergola::host
