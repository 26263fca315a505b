// SPDX-License-Identifier: BSD-3-Clause
// Everything that a command works with, built in the one right order: device, plugins, data, model.
// Owns it; destroyed in the reverse order. Main thread.
#pragma once

#include "host/checkpoint/checkpoint.h"
#include "host/config/run_config.h"
#include "host/data/batch_source.h"
#include "host/device/step_graph.h"
#include "host/plugin/catalog.h"
#include "host/plugin/library.h"
#include "host/run/run_data.h"
#include "host/run/wanted_plugins.h"
#include "host/train/batch_parts.h"
#include "host/train/evaluation.h"
#include "host/train/recorded_forward.h"
#include "pergola/base_model.h"
#include "pergola/dataset.h"
#include "pergola/registry.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// The registry with what the host itself brings.
void publish_builtins(Registry& registry);

// Loads a plugin, and throws Error{kPlugin} when that changed what the whole process shares
// (host/device/process_state.h): the default dtype, a signal handler, ...
const LoadedPlugin& load_watched(PluginLoader& loader, const std::filesystem::path& file);

// Lets models read weights of any form (BaseModel::from_pretrained). `format`: what the process's
// one model is called at Hugging Face, which must live as long as the process; null: nothing.
void install_weight_reader(const HuggingFaceFormat* format);

class Session {
 public:
  // Tries the plugins that the config needs, chooses the device, and loads them. Throws Error.
  Session(RunConfig config, const PluginCatalog& catalog);

  // Seeds all generators, then builds the model on the device, with its losses and with what the
  // data sets of `split` know. Throws Error{kConfig} where the model would take over a number that
  // two of them have differently.
  void build_model(const std::string& split, std::int64_t seed);

  // Brings a checkpoint of another version of the model's plugin over to this one, with a line in
  // the log; nothing where the versions are the same. Throws Error{kCheckpoint} where the model
  // does not know that version and its weights cannot be the same (BaseModel::migrate_state).
  void migrate(CheckpointContent& content) const;

  // Loads the weights of the checkpoint in `folder`, of any version of the plugin that migrate()
  // takes. Throws Error{kCheckpoint} when it is of another model.
  void load_weights(CheckpointContent content, const std::filesystem::path& folder);

  // Loads the weights of checkpoint.pretrained, if it is set; says in the log what of them fits,
  // and returns which weights of the model it has not. Throws Error{kCheckpoint}.
  std::vector<std::string> load_pretrained();

  // A split of the first data set, read when it is asked for the first time. Throws what the data
  // set throws, and Error{kData} when there are no samples to train on.
  [[nodiscard]] const Dataset& dataset(const std::string& split);
  // Reads the split of all data sets.
  void read_data(const std::string& split) { data_.read(split); }
  // Of each data set the number of samples: an integer of one data set, a table of several.
  [[nodiscard]] Value num_samples(const std::string& split) { return data_.num_samples(split); }
  // Of all data sets together, as evaluation_input() has them.
  [[nodiscard]] std::int64_t num_evaluated(const std::string& split) {
    return data_.num_evaluated(split);
  }

  // The batches to train on: shuffled, those of several data sets by turns as `multitasking` says,
  // limited as training.limit_train_batches and overfit_batches say. With a GPU they are there.
  // REQUIRES: build_model was called.
  [[nodiscard]] std::unique_ptr<BatchSource> training_batches(std::uint64_t seed);
  // Of batches that are asked for from now on, in place of training.batch_size.
  void set_batch_size(std::int64_t batch_size) { config_.training.batch_size = batch_size; }

  // What evaluate() needs for a split of all data sets, limited as training.limit_*_batches say;
  // with training.overfit_batches the validation has the batches that are trained on. Loaders and
  // metrics live as long as the session, and are the same at each call.
  // REQUIRES: build_model was called.
  [[nodiscard]] EvaluationInput evaluation_input(const std::string& split);

  // What records work for the GPU: one of updates and predictions, whose recordings share memory
  // (they never run at the same time). Null, with the reason in `problem`, where there is none.
  [[nodiscard]] GraphRecorder* graph_recorder(std::string& problem);
  // Recorded predictions, and the memory that recordings hold.  REQUIRES: no update is recorded any
  // more by those who got the recorder.
  void drop_recordings();

  // Those of evaluation.metrics, with what the data sets know.  REQUIRES: build_model was called.
  [[nodiscard]] std::unique_ptr<MetricList> metrics() const;

  // The data set as the split `test`, of what a checkpoint has of it (data_state()) in place of its
  // files: without samples of its own.
  void restore_dataset(const std::string& dataset, const Value& state);
  // What restore_dataset() takes: a table, or null where the data set cannot be restored. Its
  // `processors` are the same of every split. Of several data sets a table of these, by name.
  [[nodiscard]] Value data_state(const std::string& split) { return data_.state(split); }
  // Throws Error{kCheckpoint} where a word or class has another number in a data set of `split`
  // than in `state`, a checkpoint's.
  void check_data(const Value& state, const std::string& split);

  // Metrics of a split, and the prediction files "<dataset>_<split>.json" of each data set in the
  // folder `predictions`, unless that is empty. Throws Error{kNan} rather than write rows of scores
  // that are not finite.
  struct Evaluation {
    Numbers numbers;
    std::vector<std::filesystem::path> files;  // written
  };
  [[nodiscard]] Evaluation evaluate(const std::string& split,
                                    const std::filesystem::path& predictions,
                                    const EvaluationHooks& hooks = {});

  // The rows of a batch of `split` in its prediction file. Throws Error for scores that do not fit
  // the data set's answers, and for what its hook, or the model's, throws.
  [[nodiscard]] std::vector<Value> rows_of(const std::string& split, const Report& report);

  // Rows of the prediction file, and what they are made of.
  using RowVisitor = std::function<void(std::vector<Value> rows, const Report& report)>;
  // Predicts the samples of `samples`, which are like those of the first data set's split `test`.
  // Throws Error{kNan} for scores that are not finite.
  void predict(const Dataset& samples, const RowVisitor& visit);
  // [batch, answers], as the first data set says.
  [[nodiscard]] at::Tensor probabilities(const at::Tensor& scores);

  // What a checkpoint says about who wrote it: model, plugin with SHA-256, data sets, config.
  [[nodiscard]] Value identity(const std::string& config_text) const;
  // Throws Error{kCheckpoint} when `state` is of another model.
  void check_identity(const Value& state) const;

  [[nodiscard]] const RunConfig& config() const noexcept { return config_; }
  [[nodiscard]] const Registry& registry() const noexcept { return registry_; }
  [[nodiscard]] BaseModel& model() { return *model_; }
  // What the first data set knows.  REQUIRES: build_model was called.
  [[nodiscard]] const Value& facts() const { return facts_.at(config_.dataset); }
  [[nodiscard]] c10::Device device() const noexcept { return device_; }

 private:
  void load_plugins(const PluginCatalog& catalog);
  void load(const PluginFile& file);
  // What becomes of each batch before it goes to the device.
  [[nodiscard]] BatchTransfer batch_transfer();
  // Null where training.cuda_graphs, or the device, has no recorded predictions.
  [[nodiscard]] RecordedForward* recorded_forward();
  void warn_of_words(const std::filesystem::path& weights);
  [[nodiscard]] std::vector<Value> checked_rows(const std::string& split, const Report& report);
  void check_scores(const at::Tensor& scores) const;
  // The model's plugin, or null: the host itself has models too.
  [[nodiscard]] const LoadedPlugin* model_plugin() const;
  [[nodiscard]] Value plugin_identity() const;  // reads the whole file

  RunConfig config_;
  UnfitPlugins unfit_;  // found before the first CUDA call, since CUDA does not survive a fork
  c10::Device device_;
  Registry registry_;
  PluginLoader loader_;
  const HuggingFaceFormat* hugging_face_ = nullptr;  // of the model; null: none
  Value plugin_ = Value::Table{};                    // of the model, as it was loaded
  RunData data_;
  std::map<std::string, Value> facts_;  // of the data sets that the model was built for, by name
  std::shared_ptr<BaseModel> model_;    // shared: torch::nn modules are
  std::filesystem::path weights_;       // the checkpoint that the model's are of
  struct SplitEvaluation {
    std::vector<std::unique_ptr<DataLoader>> loaders;
    std::unique_ptr<MetricList> metrics;
  };
  std::map<std::string, SplitEvaluation> evaluations_;  // by split
  std::optional<BatchSplitter> splitter_;  // of evaluations; none: what is too large is an error
  bool recorder_asked_ = false;            // and so it was told why there is none
  std::unique_ptr<GraphRecorder> recorder_;
  std::unique_ptr<RecordedForward> recorded_forward_;
};

}  // namespace pergola::host
