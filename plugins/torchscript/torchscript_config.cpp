// SPDX-License-Identifier: BSD-3-Clause
#include "torchscript_config.h"

#include <algorithm>
#include <set>

namespace pergola::torchscript {
namespace {

std::vector<InputConfig> parse_inputs(const Config& config) {
  constexpr const char* kKey = "inputs";
  const Value* given = config.value().find(kKey);
  std::vector<InputConfig> inputs;
  if (given != nullptr && given->is_table()) {
    const Config names = config.table(kKey);
    for (const auto& [argument, field] : names.value().as_table()) {
      inputs.push_back({argument, names.get<std::string>(argument)});
    }
  } else if (given != nullptr) {
    for (const std::string& field : config.get<std::vector<std::string>>(kKey)) {
      inputs.push_back({"", field});
    }
  }
  const bool has_blank = std::any_of(inputs.begin(), inputs.end(),
                                     [](const InputConfig& input) { return input.field.empty(); });
  if (inputs.empty() || has_blank) {
    throw config.error(kKey,
                       "must name the fields that the script is given, such as [\"image\", "
                       "\"text\"], or, by its arguments, { image = \"image\", words = \"text\" }");
  }
  return inputs;
}

}  // namespace

TorchScriptConfig TorchScriptConfig::parse(const Config& config) {
  config.allow_only(
      {"losses", "num_final_outputs", "file", "method", "inputs", "outputs", "scores"});
  TorchScriptConfig parsed;
  parsed.num_final_outputs = config.get_integer("num_final_outputs", 0, 0);
  parsed.file = config.get<std::string>("file", "");
  if (parsed.file.empty()) {
    throw config.error("file",
                       "must name a TorchScript archive, as torch.jit.save writes it in Python");
  }
  parsed.method = config.get<std::string>("method", "forward");
  parsed.inputs = parse_inputs(config);
  parsed.outputs = config.get<std::vector<std::string>>("outputs", {});
  parsed.scores = config.get<std::string>("scores", "scores");
  const std::set<std::string> distinct(parsed.outputs.begin(), parsed.outputs.end());
  if (distinct.size() != parsed.outputs.size() || distinct.contains("")) {
    throw config.error("outputs", "must be distinct names, one for each item of the result");
  }
  if (!parsed.outputs.empty() && !distinct.contains(parsed.scores)) {
    throw config.error("scores", "must be one of outputs, which names all items of the result");
  }
  return parsed;
}

}  // namespace pergola::torchscript
