// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/predict_sample.h"

#include "host/checkpoint/manifest.h"
#include "host/checkpoint/store.h"
#include "host/run/checkpoints.h"
#include "host/run/plugins.h"
#include "host/run/session.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// A data set of one sample: what is asked about goes the way of a split's samples.
class OneSample final : public Dataset {
 public:
  OneSample(const Dataset& data, SampleInputs inputs) : data_(data), inputs_(std::move(inputs)) {}

  [[nodiscard]] std::int64_t size() const override { return 1; }
  [[nodiscard]] Sample get(std::int64_t /*index*/, Rng& rng) const override {
    return data_.sample_from(inputs_, rng);
  }

 private:
  const Dataset& data_;
  SampleInputs inputs_;
};

// What state.json has of the data sets.
const Value& data_of(const CheckpointContent& content, const fs::path& folder) {
  const Value* const data = content.state.find("data");
  if (data != nullptr) return *data;
  throw Error(ErrorKind::kCheckpoint, "the checkpoint ", folder.string(),
              " has no vocabularies of its data set, because an older pergola saved it; save it ",
              "anew where the data are: `pergola train CONFIG --resume` with a higher "
              "training.max_updates or max_epochs; or predict a split: `pergola predict CONFIG "
              "--checkpoint ",
              folder.string(), "`");
}

// The part of one data set; null where it has none.
const Value* data_of(const Value& data, const Value& state, const std::string& dataset) {
  const Value* const part = datasets_of(state).size() > 1 ? data.find(dataset) : &data;
  return part != nullptr && part->is_table() ? part : nullptr;
}

[[noreturn]] void refuse_dataset(const std::string& dataset, const fs::path& folder) {
  throw Error(ErrorKind::kConfig, "data set \"", dataset,
              "\" makes no samples but its own: its class has no state_dict() and sample_from(); ",
              "predict a split: `pergola predict CONFIG --checkpoint ", folder.string(), "`");
}

ConfigAndPlugins config_of(const CheckpointContent& content, const SampleRequest& request,
                           const fs::path& folder) {
  return load_saved_config(saved_config(content.state, folder), (folder / kStateFile).string(),
                           request.overrides, request.plugin_path);
}

// Of the config, what a prediction needs. What a training needs besides may be nowhere here.
RunConfig for_prediction(const ConfigAndPlugins& loaded, const SampleRequest& request) {
  RunConfig config = RunConfig::parse(loaded.config.root);
  config.evaluation.metrics.clear();
  config.multitasking = {};
  config.training.callbacks.clear();
  config.optimizer.reset();
  config.scheduler.reset();
  // One that was trained on a GPU predicts where there is none.
  const bool asked = std::ranges::any_of(
      request.overrides, [](const Override& o) { return o.key == "training.device"; });
  if (!asked && config.training.device != "cpu") config.training.device = "auto";
  return config;
}

// What it holds of the data is of no other data set.
void check_dataset(const Value& state, const std::string& dataset) {
  const std::vector<std::string> saved = datasets_of(state);
  if (saved.empty() || std::ranges::find(saved, dataset) != saved.end()) return;
  throw Error(ErrorKind::kCheckpoint, "the checkpoint is of data set ",
              to_string(*state.find("dataset")), ", the config asks for '", dataset,
              saved.size() == 1 ? "'; leave dataset as it was saved"
                                : "'; set dataset to one of these, or leave it as it was saved");
}

// Adds the other data sets that the model was trained on, as far as the checkpoint has them: it was
// built with what all of them know.
void add_other_datasets(const Value& state, const Value& data, const Config& root,
                        RunConfig& config) {
  config.datasets = {config.dataset};
  for (const std::string& name : datasets_of(state)) {
    if (name == config.dataset || data_of(data, state, name) == nullptr) continue;
    config.datasets.push_back(name);
    config.dataset_configs[name] = root.table(concat("dataset_config.", name));
  }
}

// The answers in the order of their scores, each a table, at most `top`.
Value::Array top_answers(const at::Tensor& scores_A, const at::Tensor& probability_A,
                         const Value* words, std::int64_t top) {
  const bool known = words != nullptr && words->is_array() &&
                     static_cast<std::int64_t>(words->as_array().size()) == scores_A.size(0);
  const at::Tensor order_A = scores_A.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  Value::Array answers;
  for (std::int64_t i = 0; i < std::min(top, order_A.size(0)); ++i) {
    const auto number = order_A[i].item<std::int64_t>();
    answers.emplace_back(Value::Table{
        {"answer", known ? words->as_array()[static_cast<std::size_t>(number)] : Value(number)},
        {"probability", probability_A[number].item<double>()}});
  }
  return answers;
}

}  // namespace

Value predict_sample(const SampleRequest& request) {
  const fs::path folder = checkpoint_at(request.checkpoint);
  const CheckpointContent content = load_checkpoint(folder, CheckpointParts::kModel);
  const Value& data = data_of(content, folder);
  const ConfigAndPlugins loaded = config_of(content, request, folder);
  RunConfig config = for_prediction(loaded, request);
  check_dataset(content.state, config.dataset);
  if (data_of(data, content.state, config.dataset) == nullptr) {
    refuse_dataset(config.dataset, folder);
  }
  add_other_datasets(content.state, data, loaded.config.root, config);

  Session session(config, loaded.catalog);
  session.check_identity(content.state);
  for (const std::string& dataset : config.datasets) {
    session.restore_dataset(dataset, *data_of(data, content.state, dataset));
  }
  session.build_model("test", /*seed=*/0);
  session.load_weights(content, folder);

  const OneSample one(session.dataset("test"), {request.text, request.images, request.features});
  Value result;
  session.predict(one, [&](std::vector<Value> rows, const Report& report) {
    if (!rows.empty()) result = std::move(rows.front());
    const at::Tensor& scores_BA = report.output.scores;
    if (!scores_BA.defined() || scores_BA.dim() != 2 || scores_BA.size(0) != 1 ||
        scores_BA.size(1) == 0) {
      throw Error(
          ErrorKind::kPlugin, "the scores of model '", config.model, "' are ",
          scores_BA.defined() ? concat(scores_BA.sizes()) : "missing",
          ", expected [1, answers] for one sample; predict a split, if the model has other ",
          "outputs");
    }
    const at::Tensor probability_BA = session.probabilities(scores_BA);
    result["top"] =
        top_answers(scores_BA[0], probability_BA[0], session.facts().find("answers"), request.top);
  });
  for (const char* key : {"answer", "probability"}) {
    if (result.find(key) == nullptr) result[key] = *result.find(concat("top[0].", key));
  }
  result["checkpoint"] = folder.string();
  result["model"] = config.model;
  return result;
}

}  // namespace pergola::host
