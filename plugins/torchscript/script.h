// SPDX-License-Identifier: BSD-3-Clause
// What the model needs of a TorchScript archive: loading it, its parameters as those of a module of
// ours, and its messages. Used on one thread.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>

#include <string>

namespace pergola::torchscript {

// The archive, on the CPU wherever it was saved. Throws std::runtime_error with half a sentence,
// "is not there: ...", when it is no file of torch.jit.save.
[[nodiscard]] torch::jit::Module load_script(const std::string& file);

// Registers the script's parameters, buffers and submodules in `module` under their own names: the
// same tensors, so what moves, loads or trains one side does so to the other. Tensors that share
// their memory, such as tied weights, become one again, which loading has made two of.
void register_tensors(torch::jit::Module& script, torch::nn::Module& module);

// Of what TorchScript's interpreter throws, a trace of several lines: the reason, and the line of
// Python that it is about when the archive knows it.
[[nodiscard]] std::string reason_of(const std::string& trace);

}  // namespace pergola::torchscript
