// SPDX-License-Identifier: BSD-3-Clause
// A model that was written in Python and saved by torch.jit.save: its method is called with fields
// of the batch, its result becomes the scores, its parameters are trained, saved and moved like
// those of any model, under the names that they have in Python.
// Legend: B = batch, C = answers.
#pragma once

#include "pergola/plugin.h"
#include "torchscript_config.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/module.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pergola::torchscript {

class TorchScript final : public BaseModel {
 public:
  // Throws Error{kConfig} as TorchScriptConfig::parse does.
  explicit TorchScript(const Config& config);

  // Throws Error{kConfig} when the file is no TorchScript archive, has no parameters or no such
  // method, or the inputs do not fit the method's arguments.
  void build() override;

  // Reads the fields that `inputs` names. Returns `scores` [B, C] and, of a result with several
  // tensors, the others as fields. Throws Error{kPlugin} for what the script throws, Error{kConfig}
  // for a result without scores, or with scores for another number of answers.
  ModelOutput forward(const SampleList& batch) override;

  // The script's modules follow.
  void train(bool on = true) override;

 private:
  void bind_inputs();
  void check_type(const c10::Argument& argument) const;
  [[nodiscard]] std::map<std::string, at::Tensor> named_tensors(const c10::IValue& result) const;
  [[nodiscard]] std::vector<std::string> item_names(const c10::IValue& result) const;

  TorchScriptConfig options_;  // each of its inputs names its argument once it is built
  torch::jit::Module script_;
  std::optional<torch::jit::Method> method_;
};

}  // namespace pergola::torchscript
