// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/recompute.h"

#include "pergola/error.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Generator.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace pergola::nn {
namespace {

using Part = std::function<at::Tensor(const std::vector<at::Tensor>&)>;
using torch::autograd::variable_list;

constexpr c10::DeviceType kTypes[] = {c10::kCPU, c10::kCUDA};

// What the numbers of a part depend on besides its inputs and its weights.
class Surroundings {
 public:
  static Surroundings now(const std::vector<c10::Device>& devices) {
    Surroundings found;
    found.onednn_ = at::globalContext().userEnabledMkldnn();
    for (std::size_t i = 0; i < std::size(kTypes); ++i) {
      found.autocast_[i] = {at::autocast::is_autocast_enabled(kTypes[i]),
                            at::autocast::get_autocast_dtype(kTypes[i])};
    }
    for (const c10::Device device : devices) {
      at::Generator generator = at::globalContext().defaultGenerator(device);
      const std::lock_guard<std::mutex> lock(generator.mutex());
      found.generators_.emplace_back(device, generator.get_state());
    }
    return found;
  }

  void bring_back() const {
    at::globalContext().setUserEnabledMkldnn(onednn_);
    for (std::size_t i = 0; i < std::size(kTypes); ++i) {
      at::autocast::set_autocast_enabled(kTypes[i], autocast_[i].first);
      at::autocast::set_autocast_dtype(kTypes[i], autocast_[i].second);
    }
    for (const auto& [device, state] : generators_) {
      at::Generator generator = at::globalContext().defaultGenerator(device);
      const std::lock_guard<std::mutex> lock(generator.mutex());
      generator.set_state(state);
    }
  }

  [[nodiscard]] std::vector<c10::Device> devices() const {
    std::vector<c10::Device> all;
    for (const auto& [device, state] : generators_) all.push_back(device);
    return all;
  }

 private:
  bool onednn_ = true;  // on the CPU, whose kernels are used
  std::array<std::pair<bool, at::ScalarType>, std::size(kTypes)> autocast_;
  std::vector<std::pair<c10::Device, at::Tensor>> generators_;  // and their states
};

// Surroundings for a while.
class Within {
 public:
  explicit Within(const Surroundings& wanted) : before_(Surroundings::now(wanted.devices())) {
    wanted.bring_back();
  }
  ~Within() { before_.bring_back(); }
  Within(const Within&) = delete;
  Within& operator=(const Within&) = delete;

 private:
  const Surroundings before_;
};

// Autocast keeps converted weights until its scope ends. A backward pass has no scope: they would
// still be there after the optimizer's step. And each leaf is a weight to it, the part's inputs
// too.
class WithoutWeightCache {
 public:
  WithoutWeightCache() : before_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~WithoutWeightCache() { at::autocast::set_autocast_cache_enabled(before_); }
  WithoutWeightCache(const WithoutWeightCache&) = delete;
  WithoutWeightCache& operator=(const WithoutWeightCache&) = delete;

 private:
  const bool before_;
};

// Whose generators a part draws from: the CPU's, and those of its inputs' GPUs.
std::vector<c10::Device> devices_of(const std::vector<at::Tensor>& inputs) {
  std::vector<c10::Device> devices = {c10::Device(c10::kCPU)};
  for (const at::Tensor& input : inputs) {
    if (!input.defined() || !input.is_cuda()) continue;
    if (std::ranges::find(devices, input.device()) == devices.end()) {
      devices.push_back(input.device());
    }
  }
  return devices;
}

[[noreturn]] void refuse(const char* what) {
  throw Error(ErrorKind::kPlugin, "nn::recompute does not support ", what,
              ", because it adds to the gradients of all parameters that it finds; set "
              "training.recompute = false");
}

// The part in the graph of the backward pass.
class RecomputedPart final : public torch::autograd::Node {
 public:
  RecomputedPart(Part part, const std::vector<at::Tensor>& inputs)
      : part_(std::move(part)), surroundings_(Surroundings::now(devices_of(inputs))) {
    for (const at::Tensor& input : inputs) inputs_.emplace_back(input, /*is_output=*/false);
    set_next_edges(torch::autograd::collect_next_edges(inputs));
  }

  [[nodiscard]] std::string name() const override { return "pergola::nn::recompute"; }

  // The part on its inputs as leaves of a graph of their own, whose result has that graph. The
  // first run makes one too, and drops it: kernels are chosen by whether gradients are wanted.
  [[nodiscard]] at::Tensor run(const std::vector<at::Tensor>& leaves) const {
    const at::AutoGradMode with_grad(true);
    const WithoutWeightCache no_cache;
    return part_(leaves);
  }

  [[nodiscard]] std::vector<at::Tensor> leaves() const {
    std::vector<at::Tensor> all;
    for (const torch::autograd::SavedVariable& input : inputs_) {
      const at::Tensor saved = input.unpack();
      all.push_back(saved.defined() ? saved.detach().set_requires_grad(saved.requires_grad())
                                    : saved);
    }
    return all;
  }

  void release_variables() override {
    for (torch::autograd::SavedVariable& input : inputs_) input.reset_data();
  }

 protected:
  variable_list apply(variable_list&& gradients) override {
    if (at::GradMode::is_enabled()) refuse("gradients of gradients");
    if (!torch::autograd::Engine::get_default_engine().is_checkpoint_valid()) {
      refuse("torch::autograd::grad or backward() for chosen tensors");
    }
    variable_list results(inputs_.size());
    if (!gradients.at(0).defined()) return results;
    const std::vector<at::Tensor> inputs = leaves();
    at::Tensor output;
    {
      const Within as_before(surroundings_);
      output = run(inputs);
    }
    torch::autograd::backward({output}, {gradients[0]});
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].defined()) results[i] = inputs[i].grad();
    }
    return results;
  }

 private:
  const Part part_;
  const Surroundings surroundings_;
  std::vector<torch::autograd::SavedVariable> inputs_;
};

}  // namespace

at::Tensor recompute(Part part, std::vector<at::Tensor> inputs) {
  if (!at::GradMode::is_enabled()) return part(inputs);
  const std::shared_ptr<RecomputedPart> node(new RecomputedPart(std::move(part), inputs),
                                             torch::autograd::deleteNode);
  at::Tensor output = node->run(node->leaves());
  if (!output.defined() || !output.is_floating_point()) {
    throw Error(ErrorKind::kPlugin, "a part of nn::recompute returned ",
                output.defined() ? concat("a tensor of ", output.scalar_type()) : "no tensor",
                "; expected one of floating-point numbers");
  }
  if (!output.requires_grad()) return output;  // nobody wants a gradient
  output = output.detach();
  torch::autograd::set_history(output, node);
  return output;
}

at::Tensor recompute(std::function<at::Tensor(const at::Tensor&)> part, const at::Tensor& input) {
  return recompute([part = std::move(part)](
                       const std::vector<at::Tensor>& inputs) { return part(inputs.front()); },
                   std::vector<at::Tensor>{input});
}

}  // namespace pergola::nn
