// SPDX-License-Identifier: BSD-3-Clause
// Everything that a command works with, built in the one right order: device, plugins, data, model.
// Owns it; destroyed in the reverse order. Main thread.
#pragma once

#include "host/checkpoint/checkpoint.h"
#include "host/config/run_config.h"
#include "host/data/loader.h"
#include "host/plugin/catalog.h"
#include "host/plugin/library.h"
#include "host/train/evaluation.h"
#include "pergola/base_model.h"
#include "pergola/dataset.h"
#include "pergola/registry.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pergola::host {

// The registry with what the host itself brings.
void publish_builtins(Registry& registry);

class Session {
 public:
  // Chooses the device and loads the plugins that the config needs. Throws Error.
  Session(RunConfig config, const PluginCatalog& catalog);

  // Seeds all generators, then builds the model on the device, with its losses and with what the
  // data set of `split` knows.
  void build_model(const std::string& split, std::int64_t seed);

  // Loads the weights of the checkpoint in `folder`. Throws Error{kCheckpoint} when it is of
  // another model.
  void load_weights(const CheckpointContent& content, const std::filesystem::path& folder);

  // Loads the weights of checkpoint.pretrained, if it is set; says in the log what of them fits.
  // Throws Error{kCheckpoint}.
  void load_pretrained();

  // The data of a split, read when it is asked for the first time. Throws what the data set throws,
  // and Error{kData} when there are no samples to train on.
  [[nodiscard]] const Dataset& dataset(const std::string& split);
  [[nodiscard]] std::unique_ptr<DataLoader> loader(const std::string& split, std::uint64_t seed);

  // Those of evaluation.metrics, with what the data set knows.  REQUIRES: build_model was called.
  [[nodiscard]] std::unique_ptr<MetricList> metrics() const;

  // The data set as the split `test`, of what a checkpoint has of it (data_state()) in place of its
  // files: without samples of its own.
  void restore_dataset(const Value& state);
  // What restore_dataset() takes: a table, or null where the data set cannot be restored. Its
  // `processors` are the same of every split.
  [[nodiscard]] Value data_state(const std::string& split);
  // Throws Error{kCheckpoint} where a word or class has another number in the data set of `split`
  // than in `state`, a checkpoint's.
  void check_data(const Value& state, const std::string& split);

  // Metrics of a split, and the prediction file's rows when `predictions` names a file. Throws
  // Error{kNan} rather than write rows of scores that are not finite.
  [[nodiscard]] Numbers evaluate(const std::string& split,
                                 const std::filesystem::path& predictions);

  // Rows of the prediction file, and what they are made of.
  using RowVisitor = std::function<void(std::vector<Value> rows, const Report& report)>;
  // Predicts the samples of `samples`, which are like those of the split `test`. Throws Error{kNan}
  // for scores that are not finite.
  void predict(const Dataset& samples, const RowVisitor& visit);
  // [batch, answers], as the data set says.
  [[nodiscard]] at::Tensor probabilities(const at::Tensor& scores);

  // What a checkpoint says about who wrote it: model, plugin with SHA-256, data set, config.
  [[nodiscard]] Value identity(const std::string& config_text) const;
  // Throws Error{kCheckpoint} when `state` is of another model.
  void check_identity(const Value& state) const;

  [[nodiscard]] const RunConfig& config() const noexcept { return config_; }
  [[nodiscard]] const Registry& registry() const noexcept { return registry_; }
  [[nodiscard]] BaseModel& model() { return *model_; }
  [[nodiscard]] const Value& facts() const noexcept { return facts_; }  // of the data set
  [[nodiscard]] c10::Device device() const noexcept { return device_; }

 private:
  void load_plugins(const PluginCatalog& catalog);
  [[nodiscard]] std::unique_ptr<Dataset> make_dataset(const std::string& split, const Value* state);
  [[nodiscard]] std::vector<Value> rows_of(const std::string& split, const Report& report);
  void check_scores(const at::Tensor& scores) const;
  // The model's plugin, or null: the host itself has models too.
  [[nodiscard]] const LoadedPlugin* model_plugin() const;
  [[nodiscard]] Value plugin_identity() const;  // reads the whole file

  RunConfig config_;
  c10::Device device_;
  Registry registry_;
  PluginLoader loader_;
  const HuggingFaceFormat* hugging_face_ = nullptr;  // of the model; null: none
  Value plugin_ = Value::Table{};                    // of the model, as it was loaded
  std::map<std::string, std::unique_ptr<Dataset>> datasets_;
  Value facts_ = Value::Table{};      // of the data set that the model was built for
  std::shared_ptr<BaseModel> model_;  // shared: torch::nn modules are
  std::filesystem::path weights_;     // the checkpoint that the model's are of
};

}  // namespace pergola::host
