// SPDX-License-Identifier: BSD-3-Clause
// What recorded work takes for granted of a model: where its parameters and buffers are, which of
// them require a gradient, and which modules train. Comparing costs nanoseconds for each. Shares
// the model's tensors and modules; training thread.
#pragma once

#include "pergola/base_model.h"

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

namespace pergola::host {

class ModelFacts {
 public:
  explicit ModelFacts(BaseModel& model);

  // Is all as it was when this was made, or true last?
  [[nodiscard]] bool hold() const;
  // Takes what is there now.
  void renew();

  // The name of a parameter that requires a gradient and is none of these; "" when there is none.
  [[nodiscard]] std::string parameter_beside(const std::vector<at::Tensor>& known) const;

 private:
  struct Place {
    at::Tensor tensor;
    const void* memory = nullptr;
    bool trained = false;
  };
  struct Mode {
    std::shared_ptr<torch::nn::Module> module;
    bool trains = false;
  };

  BaseModel& model_;
  bool trains_ = false;  // the model itself
  std::vector<Place> places_;
  std::vector<Mode> modes_;
};

}  // namespace pergola::host
