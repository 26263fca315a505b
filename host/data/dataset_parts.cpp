// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/dataset_parts.h"

#include "pergola/error.h"
#include "pergola/registry.h"
#include "pergola/rng.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_set>
#include <utility>

namespace pergola::host {
namespace {

bool takes_mask_probability(const Registry& registry, const TypedConfig& config) {
  constexpr const char* kParam = "mask_probability";
  if (config.params.has(kParam)) return true;
  if (!registry.has(Kind::kProcessor, config.type)) return false;
  const auto& spec = registry.spec(Kind::kProcessor, config.type);
  return spec && std::any_of(spec->params.begin(), spec->params.end(),
                             [&](const ParamSpec& param) { return param.name == kParam; });
}

void expect_count(const char* option, std::size_t given, std::size_t expected) {
  if (given == expected) return;
  const std::string found = given == 0 ? "is missing" : concat("is given ", given, " times");
  throw Error(ErrorKind::kConfig, option, " ", given == 1 ? "is given once" : found,
              ", but a sample of the data that the model was trained on has ", expected,
              expected == 0   ? "; leave it out"
              : expected == 1 ? concat("; give ", option, " FILE once")
                              : concat("; give ", option, " FILE ", expected, " times"));
}

// Of the distinct groups in the seed's order, those from the part `begin` on to the part `end`.
// Both ends are rounded, so that parts which meet neither overlap nor leave one out.
std::unordered_set<std::int64_t> groups_between(std::vector<std::int64_t> groups, double begin,
                                                double end, std::int64_t seed) {
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  const auto count = static_cast<std::int64_t>(groups.size());
  const auto order = permutation(count, static_cast<std::uint64_t>(seed), /*stream=*/0);
  const auto place = [count](double part) {
    return std::llround(part * static_cast<double>(count));
  };
  std::unordered_set<std::int64_t> chosen;
  for (std::int64_t i = place(begin); i < place(end); ++i) {
    chosen.insert(groups[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])]);
  }
  return chosen;
}

}  // namespace

void expect_known_split(const DatasetOptions& options) {
  static const std::vector<std::string> kSplits{"train", "val", "test"};
  if (std::find(kSplits.begin(), kSplits.end(), options.type) != kSplits.end()) return;
  throw Error(ErrorKind::kConfig, "data set '", options.name, "' has no split '", options.type, "'",
              did_you_mean(options.type, kSplits));
}

TypedConfig processor_in(const Config& processors, const char* key,
                         const std::filesystem::path& data_dir) {
  if (!processors.has(key)) throw processors.error(key, "is missing: name a processor");
  TypedConfig processor = processors.typed(key);
  const Value* file = processor.params.value().find("vocab_file");
  if (file == nullptr || !file->is_string() || file->as_string().empty()) return processor;
  Value params = processor.params.value();
  Value resolved((data_dir / file->as_string()).string());
  resolved.set_origin(file->origin());
  params["vocab_file"] = std::move(resolved);
  processor.params = Config(std::move(params), processor.params.path());
  return processor;
}

const Value& saved(const DatasetOptions& options, std::string_view path) {
  const Value* const member = options.state->find(path);
  if (member != nullptr) return *member;
  throw Error(ErrorKind::kCheckpoint, "what the checkpoint has of data set '", options.name,
              "' lacks ", path, "; use another checkpoint");
}

std::unique_ptr<Processor> make_processor(const DatasetOptions& options, TypedConfig config,
                                          const char* key) {
  if (options.state == nullptr) return options.registry.make_processor(config);
  const Value& state = saved(options, concat("processors.", key));
  const auto replace = [&config](const char* param, Value value) {
    Value params = config.params.value();
    if (params.is_null()) params = Value::Table{};
    params[param] = std::move(value);
    config.params = Config(std::move(params), config.params.path());
  };
  if (config.params.has("vocab_file")) replace("vocab_file", "");  // the state has what it held
  // Where it is left out, its default may be to mask words, too; a processor that does not know it
  // would refuse it.
  if (takes_mask_probability(options.registry, config)) replace("mask_probability", 0.0);
  std::unique_ptr<Processor> processor = options.registry.make_processor(config);
  processor->load_state_dict(state);
  return processor;
}

Value state_of(const ProcessorKeys& processors) {
  Value::Table states;
  for (const auto& [key, processor] : processors) states[key] = processor->state_dict();
  return states;
}

void expect_inputs(const SampleInputs& inputs, std::size_t images, std::size_t features) {
  if (inputs.text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error(ErrorKind::kConfig, "--text is ", inputs.text.empty() ? "missing" : "blank",
                ", but a sample of the data that the model was trained on has a text; give --text "
                "\"...\"");
  }
  expect_count("--image", inputs.images.size(), images);
  expect_count("--features", inputs.features.size(), features);
}

SplitTrain SplitTrain::parse(const Config& config, const SplitTrain& defaults) {
  config.allow_only({"val", "test", "seed"});
  SplitTrain result;
  result.val = config.get_float("val", defaults.val, 0.0, 1.0);
  result.test = config.get_float("test", defaults.test, 0.0, 1.0);
  result.seed = config.get_integer("seed", defaults.seed, 0);
  if (result.test == 0 || result.val + result.test < 1) return result;
  throw config.error("test", concat("leaves nothing to train on, since ", config.path(), ".val = ",
                                    result.val, "; choose two numbers whose sum is below 1"));
}

bool SplitTrain::has(std::string_view split) const noexcept {
  return split == "train" || (split == "val" && val > 0) || (split == "test" && test > 0);
}

std::vector<std::int64_t> SplitTrain::rows_of(std::string_view split,
                                              const std::vector<std::int64_t>& groups) const {
  const bool of_train = split == "train";  // then those of the others are looked for
  const auto chosen = split == "val" ? groups_between(groups, 0, val, seed)
                                     : groups_between(groups, of_train ? 0 : val, val + test, seed);
  std::vector<std::int64_t> rows;
  for (std::size_t row = 0; row < groups.size(); ++row) {
    if (chosen.contains(groups[row]) != of_train) rows.push_back(static_cast<std::int64_t>(row));
  }
  return rows;
}

void refuse_empty_split(const DatasetOptions& options, const SplitTrain& split_train,
                        const std::string& place, const char* what) {
  const std::string key = concat("dataset_config.", options.name, ".split_train.");
  const bool has_test = split_train.test > 0;
  throw Error(ErrorKind::kConfig, "split '", options.type, "' of data set '", options.name,
              "' is empty, since ", key, "val = ", split_train.val,
              has_test ? concat(" and ", key, "test = ", split_train.test) : "", " of ", place,
              "; choose ", has_test ? "values" : "a value", " between 0 and 1 that ",
              has_test ? "leave " : "leaves ", what, " for ",
              has_test ? "train, val and test" : "both train and val");
}

at::Tensor scalar_of(std::int64_t value) {
  at::Tensor scalar = at::empty({}, at::kLong);
  *scalar.mutable_data_ptr<std::int64_t>() = value;
  return scalar;
}

}  // namespace pergola::host
