// SPDX-License-Identifier: BSD-3-Clause
// Examinations of a model's state: its modes, what it saves, what it must leave alone.
#include "host/check/examination.h"
#include "host/checkpoint/safetensors.h"
#include "host/device/device.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/dropout.h>

#include <sys/mman.h>

#include <cerrno>
#include <system_error>

namespace pergola::host {
namespace {

enum class Mode { kTrain, kEval };

// The modules that are in the other mode.
std::vector<std::string> in_other_mode(const BaseModel& model, Mode mode) {
  const bool training = mode == Mode::kTrain;
  std::vector<std::string> names;
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    if (item.value()->is_training() != training) names.push_back(item.key());
  }
  if (model.is_training() != training) names.emplace_back("the model itself");
  return names;
}

// All that a pass returns, by name.
StateDict outputs_of(const ModelOutput& output) {
  StateDict all;
  if (output.scores.defined()) all.emplace_back("scores", output.scores);
  if (output.losses) all.insert(all.end(), output.losses->begin(), output.losses->end());
  all.insert(all.end(), output.fields.begin(), output.fields.end());
  return all;
}

StateDict pass(BaseModel& model, const SampleList& batch, std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  at::manual_seed(seed);
  return copy_of(outputs_of(call(model, batch)));
}

template <class Dropout>
bool drops(const torch::nn::Module& module) {
  const auto* dropout = module.as<Dropout>();
  return dropout != nullptr && dropout->options.p() > 0;
}

bool has_dropout(const BaseModel& model) {
  for (const auto& module : model.modules(/*include_self=*/false)) {
    if (drops<torch::nn::DropoutImpl>(*module) || drops<torch::nn::Dropout2dImpl>(*module)) {
      return true;
    }
  }
  return false;
}

// What is wrong in eval(); "": nothing.
std::string problem_in_eval(const Subject& subject, BaseModel& model) {
  model.eval();
  if (const auto names = in_other_mode(model, Mode::kEval); !names.empty()) {
    return concat(some_of(names), " did not follow eval()");
  }
  const SampleList batch = subject.batch(model, {.count = kExampleBatch});
  const StateDict before = copy_of(state_dict(model));
  const StateDict first = pass(model, batch, 1);
  const at::Tensor numbers = rng_states(at::kCPU).at("cpu").clone();
  const StateDict second = pass(model, batch, 2);
  if (const auto names = differing(first, second); !names.empty()) {
    return concat(some_of(names),
                  " differ between two passes of the same batch in eval(); is dropout on, or "
                  "something drawn or counted?");
  }
  at::manual_seed(1);
  const bool draws = !at::equal(numbers, rng_states(at::kCPU).at("cpu"));
  if (draws) return "forward() draws random numbers in eval()";
  if (const auto names = differing(before, state_dict(model)); !names.empty()) {
    return concat("forward() changes ", some_of(names), " in eval()");
  }
  if (const auto names = in_other_mode(model, Mode::kEval); !names.empty()) {
    return concat("forward() switched ", some_of(names), " from eval() to train()");
  }
  return "";
}

std::string problem_in_train(const Subject& subject, BaseModel& model) {
  model.train();
  const SampleList batch = subject.batch(model, {.count = kExampleBatch});
  const StateDict first = pass(model, batch, 1);
  if (const auto names = in_other_mode(model, Mode::kTrain); !names.empty()) {
    return concat("after forward(), ", some_of(names), " are not in train() any more");
  }
  if (!has_dropout(model)) return "";
  if (!differing(first, pass(model, batch, 2)).empty()) return "";
  return "dropout modules with p > 0 drop nothing in train()";
}

// As a checkpoint does: through a file.
StateDict through_file(const StateDict& state) {
  const UniqueFd file(::memfd_create("state", MFD_CLOEXEC));
  if (!file) throw std::system_error(errno, std::generic_category(), "memfd_create");
  const std::string path = concat("/proc/self/fd/", file.get());
  stream_safetensors(file.get(), state, {}, path);
  return read_safetensors(path);
}

Value extras_of(const BaseModel& model) {
  Value extras = Value::Table{};
  hooked(model, "on_save_checkpoint()", [&] { model.on_save_checkpoint(extras); });
  return from_json(to_json(extras), "the model's part of a checkpoint", ErrorKind::kCheckpoint);
}

// A model of another seed that has taken all that `model` and `optimizer` save, and its optimizer.
struct Restored {
  std::shared_ptr<BaseModel> model;
  std::unique_ptr<Optimizer> optimizer;
};

Restored restore(const Subject& subject, const BaseModel& model, const Optimizer& optimizer) {
  Restored restored{subject.build(/*seed=*/2), nullptr};
  hooked(model, "load_state_dict()",
         [&] { restored.model->load_state_dict(through_file(state_dict(model)), Strict::kYes); });
  const Value extras = extras_of(model);
  hooked(model, "on_load_checkpoint()", [&] { restored.model->on_load_checkpoint(extras); });
  restored.optimizer = subject.optimizer(*restored.model);
  std::map<std::string, at::Tensor> state;
  for (const auto& [name, tensor] : optimizer.state_dict()) state[name] = tensor.clone();
  restored.optimizer->load_state_dict(state);
  return restored;
}

// The calls of a run, some of which no other examination makes.
void call_all_hooks(const Subject& subject, BaseModel& model) {
  const SampleList batch = subject.batch(model, {.count = kExampleBatch});
  const std::unique_ptr<Optimizer> optimizer = subject.optimizer(model);
  for (int i = 0; i < kExampleUpdates; ++i) update(model, *optimizer, batch);
  model.eval();
  static_cast<void>(call(model, batch));
  ModelOutput output = hooked(model, "test_step()", [&] { return model.test_step(batch, 0); });
  const Value extras = extras_of(model);
  hooked(model, "on_load_checkpoint()", [&] { model.on_load_checkpoint(extras); });
  for (const auto& [name, tensor] : state_dict(model)) {
    hooked(model, "format_state_key()",
           [&, &key = name] { static_cast<void>(model.format_state_key(key)); });
  }
  const Report report{subject.batch(model, {.count = kExampleBatch}), std::move(output)};
  hooked(model, "format_for_prediction()",
         [&] { static_cast<void>(model.format_for_prediction({}, report)); });
}

}  // namespace

Finding examine_train_and_eval(const Subject& subject) {
  const std::shared_ptr<BaseModel> model = subject.build();
  std::string problem = problem_in_eval(subject, *model);
  if (problem.empty()) problem = problem_in_train(subject, *model);
  return problem.empty() ? passed("eval() repeats itself to the bit and changes nothing")
                         : failed(problem);
}

Finding examine_save_and_load(const Subject& subject) {
  const std::shared_ptr<BaseModel> model = subject.build();
  const std::unique_ptr<Optimizer> optimizer = subject.optimizer(*model);
  const auto step = [&](BaseModel& of, Optimizer& with, std::int64_t first) {
    at::manual_seed(static_cast<std::uint64_t>(first));
    return update(of, with, subject.batch(of, {.first = first, .count = kExampleBatch}));
  };
  step(*model, *optimizer, 0);
  step(*model, *optimizer, kExampleBatch);
  const Restored restored = restore(subject, *model, *optimizer);
  const at::Tensor loss = step(*model, *optimizer, 2 * kExampleBatch);
  const at::Tensor loss_again = step(*restored.model, *restored.optimizer, 2 * kExampleBatch);
  std::vector<std::string> names = differing(state_dict(*model), state_dict(*restored.model));
  if (!differing({{"loss", loss}}, {{"loss", loss_again}}).empty()) {
    names.insert(names.begin(), "the loss");
  }
  if (names.empty()) return passed("the step after is the same to the bit");
  return failed(concat(some_of(names),
                       " differ in the step after saving and loading: what else forward() depends "
                       "on must be a parameter, a buffer, or in on_save_checkpoint()"));
}

Finding examine_state_keys(const Subject& subject) {
  const std::shared_ptr<BaseModel> model = subject.build();
  const StateDict state = state_dict(*model);
  for (const auto& [name, tensor] : state) {
    const std::string formatted = hooked(*model, "format_state_key()",
                                         [&, &key = name] { return model->format_state_key(key); });
    if (formatted == name) continue;
    return failed(concat("format_state_key() calls the weight ", name, " ", formatted,
                         ": expected ", name, ", since today's names must stay as they are"));
  }
  const StateDict again = state_dict(*subject.build(/*seed=*/2));
  if (again.size() != state.size()) {
    return failed(concat("one model has ", state.size(), " weights, the next of the same config ",
                         again.size()));
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    if (state[i].first == again[i].first && state[i].second.sizes() == again[i].second.sizes()) {
      continue;
    }
    return failed(concat("weight ", i, " is ", state[i].first, " ", state[i].second.sizes(),
                         ", and in the next model of the same config ", again[i].first, " ",
                         again[i].second.sizes()));
  }
  return passed(concat(state.size(), " weights and buffers"),
                {{"tensors", static_cast<double>(state.size())}});
}

Finding examine_process_state(const Subject& subject) {
  StateWatch::enable(true);
  const std::shared_ptr<BaseModel> model = subject.build();
  call_all_hooks(subject, *model);
  return passed(
      "dtype, threads, grad mode, autocast, device, seed, locale, rounding, signals, folder");
}

}  // namespace pergola::host
