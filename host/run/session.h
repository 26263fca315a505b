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
#include <map>
#include <memory>
#include <string>

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

  // Loads a checkpoint's weights. Throws Error{kCheckpoint} when it is of another model.
  void load_weights(const CheckpointContent& content);

  // Loads the weights of checkpoint.pretrained, if it is set; says in the log what of them fits.
  // Throws Error{kCheckpoint}.
  void load_pretrained();

  // The data of a split, read when it is asked for the first time. Throws what the data set throws,
  // and Error{kData} when there are no samples to train on.
  [[nodiscard]] const Dataset& dataset(const std::string& split);
  [[nodiscard]] std::unique_ptr<DataLoader> loader(const std::string& split, std::uint64_t seed);

  // Those of evaluation.metrics, with what the data set knows.  REQUIRES: build_model was called.
  [[nodiscard]] std::unique_ptr<MetricList> metrics() const;

  // Metrics of a split, and the prediction file's rows when `predictions` names a file.
  [[nodiscard]] Numbers evaluate(const std::string& split,
                                 const std::filesystem::path& predictions);

  // What a checkpoint says about who wrote it: model, plugin with SHA-256, data set, config.
  [[nodiscard]] Value identity(const std::string& config_text) const;
  // Throws Error{kCheckpoint} when `state` is of another model.
  void check_identity(const Value& state) const;

  [[nodiscard]] const RunConfig& config() const noexcept { return config_; }
  [[nodiscard]] const Registry& registry() const noexcept { return registry_; }
  [[nodiscard]] BaseModel& model() { return *model_; }
  [[nodiscard]] c10::Device device() const noexcept { return device_; }

 private:
  void load_plugins(const PluginCatalog& catalog);
  [[nodiscard]] Value plugin_identity() const;  // reads the whole file

  RunConfig config_;
  c10::Device device_;
  Registry registry_;
  PluginLoader loader_;
  Value plugin_ = Value::Table{};  // of the model, as it was loaded
  std::map<std::string, std::unique_ptr<Dataset>> datasets_;
  Value facts_ = Value::Table{};      // of the data set that the model was built for
  std::shared_ptr<BaseModel> model_;  // shared: torch::nn modules are
};

}  // namespace pergola::host
