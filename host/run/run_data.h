// SPDX-License-Identifier: BSD-3-Clause
// The data sets of a run: their splits, each read when it is asked for the first time, what models
// need to know of them, and their batches. Exceptions of a data set or a processor become an
// Error{kPlugin} that names the hook. Borrows config and registry; main thread.
#pragma once

#include "host/config/run_config.h"
#include "host/data/batch_source.h"
#include "host/data/loader.h"
#include "pergola/dataset.h"
#include "pergola/registry.h"
#include "pergola/value.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

class RunData {
 public:
  // Throws Error{kConfig} for multitasking.params that do not fit the data sets.
  RunData(const RunConfig& config, const Registry& registry);

  // Throws what the data set throws, and Error{kData} when there are no samples to train on.
  [[nodiscard]] const Dataset& split(const std::string& dataset, const std::string& split);
  // Reads the split of all data sets.
  void read(const std::string& split);
  // Makes the split `test` of what a checkpoint has of the data set, without samples of its own.
  void restore(const std::string& dataset, const Value& state);

  // Of each data set the number of samples: an integer of one data set, a table of several.
  [[nodiscard]] Value num_samples(const std::string& split);
  // What restore() takes, or null where a data set cannot be restored: of one data set that, of
  // several a table of them.
  [[nodiscard]] Value state(const std::string& split);
  // Throws Error{kCheckpoint} where a word or class has another number in the split than in
  // `checkpoint`, a state.json. Compares the data sets that are in both.
  void check_words(const Value& checkpoint, const std::string& split);

  // Says in the log where several data sets give one number to different words.
  void warn_of_other_words(const std::string& split);

  // Of each data set, by its name.
  [[nodiscard]] std::map<std::string, Value> facts(const std::string& split);

  // The batches of a split in the order for training, shuffled, those of several data sets by
  // turns. With training.overfit_batches the same few of each data set in each epoch, in the data's
  // order; otherwise training.limit_train_batches of all. Seeds the data sets apart, the first one
  // with `seed` itself.
  [[nodiscard]] std::unique_ptr<BatchSource> training_batches(std::uint64_t seed,
                                                              const BatchTransfer& transfer);

  // For each data set the batches of a split in the data's order, as far as the limit of the split
  // goes; of `val` those that are trained on, where training.overfit_batches is set. One of several
  // data sets that has no samples is left out, and the log says so.
  [[nodiscard]] std::vector<std::unique_ptr<DataLoader>> evaluation_batches(
      const std::string& split, const BatchTransfer& transfer);
  // Whose samples these are, and how many there are of all data sets, without the limit.
  [[nodiscard]] const Dataset& evaluated(const std::string& dataset, const std::string& split);
  [[nodiscard]] std::int64_t num_evaluated(const std::string& split);

 private:
  [[nodiscard]] std::unique_ptr<Dataset> make(const std::string& dataset, const std::string& split,
                                              const Value* state) const;
  [[nodiscard]] Value state_of(const std::string& dataset, const std::string& split);
  [[nodiscard]] LoaderOptions options(const std::string& dataset, const std::string& split,
                                      const BatchTransfer& transfer) const;
  [[nodiscard]] bool several() const noexcept { return config_.datasets.size() > 1; }

  const RunConfig& config_;
  const Registry& registry_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Dataset>> splits_;
};

// "dataset" of a state.json: the name, or an array of several.
[[nodiscard]] Value dataset_value(const RunConfig& config);

// The data sets of a checkpoint's state.json; empty where it does not say.
[[nodiscard]] std::vector<std::string> datasets_of(const Value& checkpoint);

// What a model with `model_config` is to know of all data sets. Throws Error{kConfig} that names
// two whose numbers differ, where the model would take over the number; where it has its own, the
// larger of the two counts.
[[nodiscard]] Value merge_facts(const std::map<std::string, Value>& facts,
                                const Config& model_config);

}  // namespace pergola::host
