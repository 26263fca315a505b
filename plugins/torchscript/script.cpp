// SPDX-License-Identifier: BSD-3-Clause
#include "script.h"

#include "pergola/error.h"

#include <torch/csrc/jit/serialization/import.h>
#include <torch/types.h>

#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace pergola::torchscript {
namespace {

// What makes two tensors one: memory, place in it, shape.
using Identity =
    std::tuple<const void*, std::int64_t, std::vector<std::int64_t>, std::vector<std::int64_t>>;
using Known = std::map<Identity, at::Tensor>;

Identity identity_of(const at::Tensor& tensor) {
  return {tensor.storage().unsafeGetStorageImpl(), tensor.storage_offset(), tensor.sizes().vec(),
          tensor.strides().vec()};
}

void register_all(torch::jit::Module& script, torch::nn::Module& module, Known& known) {
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (const auto& item : script.named_parameters(/*recurse=*/false)) {
    parameters.emplace_back(item.name, item.value);
  }
  for (auto& [name, tensor] : parameters) {
    const auto [entry, is_new] = known.try_emplace(identity_of(tensor), tensor);
    if (!is_new) script.setattr(name, entry->second);
    module.register_parameter(name, entry->second, tensor.requires_grad());
  }
  for (const auto& item : script.named_buffers(/*recurse=*/false)) {
    module.register_buffer(item.name, item.value);
  }
  for (const auto& item : script.named_children()) {
    auto child = module.register_module(item.name, std::make_shared<torch::nn::Module>(item.name));
    torch::jit::Module part = item.value;
    register_all(part, *child, known);
  }
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

torch::jit::Module load_script(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string start(4, '\0');
  if (!in || !in.read(start.data(), static_cast<std::streamsize>(start.size()))) {
    throw std::runtime_error(
        "cannot be read; name a file, from the folder in which the program is started");
  }
  if (start != "PK\x03\x04") {
    throw std::runtime_error(
        "is no TorchScript archive, expected what torch.jit.script(model).save(path) writes in "
        "Python");
  }
  in.close();
  try {
    return torch::jit::load(file, at::kCPU);
  } catch (const c10::Error& error) {
    const std::string reason = first_line(error.what_without_backtrace());
    if (reason.find("constants.pkl") == std::string::npos) {
      throw std::runtime_error(concat("cannot be loaded: ", reason, "; save it again"));
    }
    throw std::runtime_error(
        "holds tensors or a pickle (torch.save) and no code, expected what "
        "torch.jit.script(model).save(path) writes in Python");
  }
}

void register_tensors(torch::jit::Module& script, torch::nn::Module& module) {
  Known known;
  register_all(script, module, known);
}

std::string reason_of(const std::string& trace) {
  constexpr std::string_view kError = "Error: ";
  std::istringstream lines(trace);
  std::string place;
  std::string reason;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t file = line.find("File \"");
    const std::size_t error = line.find(kError);
    if (file != std::string::npos) {
      // The innermost line, but the user's rather than one of torch's modules that it calls.
      const bool is_torchs = line.find("/site-packages/torch/") != std::string::npos;
      if (place.empty() || !is_torchs) place = line.substr(file);
    } else if (error != std::string::npos) {
      reason = line.substr(error + kError.size());
    }
  }
  if (reason.empty()) reason = first_line(trace);
  return place.empty() ? reason : concat(reason, " (", place, ")");
}

}  // namespace pergola::torchscript
