// SPDX-License-Identifier: BSD-3-Clause
#include "torchscript.h"

#include "pergola/suggest.h"
#include "script.h"

#include <ATen/core/function_schema.h>
#include <ATen/core/jit_type.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/types.h>

#include <algorithm>
#include <utility>

namespace pergola::torchscript {
namespace {

bool is_text_list(const c10::Type& type) {
  const auto* const list = type.castRaw<c10::ListType>();
  return list != nullptr && list->getElementType()->kind() == c10::TypeKind::StringType;
}

// Without the module itself, which is the first one.
std::vector<c10::Argument> arguments_of(const torch::jit::Method& method) {
  std::vector<c10::Argument> all = method.function().getSchema().arguments();
  all.erase(all.begin());
  return all;
}

std::string signature_of(const torch::jit::Method& method) {
  std::vector<std::string> parts;
  for (const c10::Argument& argument : arguments_of(method)) {
    parts.push_back(concat(argument.type()->annotation_str(), " ", argument.name()));
  }
  return concat(method.name(), "(", join(parts), ")");
}

// The field behind a name, or behind the path of one in a group.
c10::IValue field_of(const SampleList& batch, const std::string& path) {
  const std::size_t dot = path.find('.');
  if (dot != std::string::npos && !batch.has(path)) {
    return field_of(batch.group(path.substr(0, dot)), path.substr(dot + 1));
  }
  return batch.tensor(path);
}

c10::IValue texts_of(const SampleList& batch, const std::string& path) {
  c10::List<std::string> texts;
  for (const std::string& text : batch.strings(path)) texts.push_back(text);
  return texts;
}

}  // namespace

TorchScript::TorchScript(const Config& config)
    : BaseModel(config), options_(TorchScriptConfig::parse(config)), script_("none") {}

void TorchScript::build() {
  try {
    script_ = load_script(options_.file);
  } catch (const std::runtime_error& error) {
    throw config().error("file", error.what());
  }
  register_tensors(script_, *this);
  if (parameters().empty()) {
    throw config().error("file",
                         "has no parameters, so it was frozen; save the scripted model without "
                         "torch.jit.freeze and optimize_for_inference");
  }
  method_ = script_.find_method(options_.method);
  if (!method_) {
    std::vector<std::string> names;
    for (const torch::jit::Method& method : script_.get_methods()) names.push_back(method.name());
    throw config().error(
        "method", concat("is no method of ", options_.file, did_you_mean(options_.method, names)));
  }
  bind_inputs();
  script_.train(is_training());
}

void TorchScript::bind_inputs() {
  const std::vector<c10::Argument> arguments = arguments_of(*method_);
  const auto refuse = [&](const auto&... problem) {
    return config().error("inputs",
                          concat(problem..., "; the script's method is ", signature_of(*method_)));
  };
  std::vector<std::string> known;
  for (const c10::Argument& argument : arguments) known.push_back(argument.name());
  if (options_.inputs.size() > arguments.size()) {
    throw refuse("names ", options_.inputs.size(), " fields for ", arguments.size(), " arguments");
  }
  std::size_t next = 0;
  for (InputConfig& input : options_.inputs) {
    if (input.argument.empty()) input.argument = known[next++];
    if (std::find(known.begin(), known.end(), input.argument) == known.end()) {
      throw refuse("names the argument '", input.argument, "', which there is not");
    }
  }
  for (const c10::Argument& argument : arguments) {
    const bool is_given =
        std::any_of(options_.inputs.begin(), options_.inputs.end(),
                    [&](const InputConfig& input) { return input.argument == argument.name(); });
    if (is_given) check_type(argument);
    if (is_given || argument.default_value().has_value()) continue;
    throw refuse("has no field for the argument '", argument.name(), "'");
  }
}

void TorchScript::check_type(const c10::Argument& argument) const {
  if (c10::TensorType::get()->isSubtypeOf(argument.type()) || is_text_list(*argument.type())) {
    return;
  }
  throw config().error("inputs",
                       concat("gives a field to the argument '", argument.name(), "', a ",
                              argument.type()->annotation_str(),
                              ", but fields are Tensor or List[str]; the script's method is ",
                              signature_of(*method_)));
}

ModelOutput TorchScript::forward(const SampleList& batch) {
  const c10::FunctionSchema& schema = method_->function().getSchema();
  torch::jit::Kwargs given;
  for (const InputConfig& input : options_.inputs) {
    const auto place = schema.argumentIndexWithName(input.argument);
    const bool texts = is_text_list(*schema.arguments()[static_cast<std::size_t>(*place)].type());
    given.emplace(input.argument,
                  texts ? texts_of(batch, input.field) : field_of(batch, input.field));
  }
  // A graph that has run before is optimised, and then rounds otherwise than in a process that has
  // just loaded it: a resumed run would not go on exactly.
  const torch::jit::GraphOptimizerEnabledGuard as_written(/*state=*/false);
  c10::IValue result;
  try {
    result = (*method_)({}, given);
  } catch (const std::exception& error) {
    const std::string trace = error.what();
    if (trace.find("can't allocate memory") != std::string::npos)
      throw;  // the host says what to do
    throw Error(ErrorKind::kPlugin, "the script ", options_.file, " failed in ", options_.method,
                "(): ", reason_of(trace), "; look at the Python code, or at model_config.",
                "inputs");
  }
  std::map<std::string, at::Tensor> tensors = named_tensors(result);
  const auto scores = tensors.find(options_.scores);
  if (scores == tensors.end()) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors) names.push_back(name);
    throw config().error(
        "scores", concat("is not in the script's result", did_you_mean(options_.scores, names)));
  }
  ModelOutput output{std::move(scores->second)};
  tensors.erase(scores);
  output.fields = std::move(tensors);
  const at::Tensor& scores_BC = output.scores;
  if (options_.num_final_outputs == 0 || scores_BC.dim() != 2 ||
      scores_BC.size(1) == options_.num_final_outputs) {
    return output;
  }
  throw config().error("num_final_outputs",
                       concat("is what the data set has, but the script's scores are ",
                              scores_BC.sizes(), "; script a model for that number of answers"));
}

std::map<std::string, at::Tensor> TorchScript::named_tensors(const c10::IValue& result) const {
  if (result.isTensor()) return {{options_.scores, result.toTensor()}};
  std::map<std::string, at::Tensor> tensors;
  if (result.isGenericDict()) {
    for (const auto& entry : result.toGenericDict()) {
      if (!entry.key().isString() || !entry.value().isTensor()) continue;
      tensors.emplace(entry.key().toStringRef(), entry.value().toTensor());
    }
    return tensors;
  }
  const std::vector<std::string> names = item_names(result);
  const std::vector<c10::IValue> items =
      result.isTuple() ? std::vector<c10::IValue>(result.toTupleRef().elements().begin(),
                                                  result.toTupleRef().elements().end())
                       : result.toListRef().vec();
  if (items.size() != names.size()) {
    throw config().error("outputs", concat("must name each item of the script's result, which has ",
                                           items.size(), ", such as [\"scores\", \"attentions\"]"));
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].isTensor()) tensors.emplace(names[i], items[i].toTensor());
  }
  return tensors;
}

std::vector<std::string> TorchScript::item_names(const c10::IValue& result) const {
  if (!result.isTuple() && !result.isList()) {
    throw Error(ErrorKind::kPlugin, "the script ", options_.file, " returns a ", result.tagKind(),
                " from ", options_.method,
                "(), expected a tensor, or a tuple, list or dict of tensors; return the scores");
  }
  if (!options_.outputs.empty() || !result.isTuple()) return options_.outputs;
  std::vector<std::string> names;
  const auto& schema = result.toTupleRef().type()->schema();
  if (schema == nullptr) return names;  // no NamedTuple
  for (const c10::Argument& field : schema->arguments()) names.push_back(field.name());
  return names;
}

void TorchScript::train(bool on) {
  BaseModel::train(on);
  script_.train(on);
}

PERGOLA_REGISTER_MODEL(TorchScript, "torchscript");

}  // namespace pergola::torchscript
