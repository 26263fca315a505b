// SPDX-License-Identifier: BSD-3-Clause
// BaseModel is what every model derives from: a torch::nn::Module with MMF's life cycle
// (mmf/models/base_model.py). Life: constructor(config) → build() → init_losses() → moved to the
// device → weights are loaded → operator() many times. The host owns the model and calls all of
// it on one thread; a model never chooses a device, stream, seed, thread count or path.
#pragma once

#include "pergola/config.h"
#include "pergola/loss.h"
#include "pergola/model_output.h"
#include "pergola/optimizer.h"
#include "pergola/report.h"
#include "pergola/sample_list.h"
#include "pergola/state_dict.h"

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

namespace pergola {

class PERGOLA_API BaseModel : public torch::nn::Module {
 public:
  // Reads the config and no more: no modules, no files.
  explicit BaseModel(const Config& config);
  ~BaseModel() override;

  // Makes and registers all modules, and reads any file that they need.  [main-thread & once]
  virtual void build() = 0;

  // Makes what `losses` of the config names, as the submodule `losses`: its parameters and buffers
  // are the model's from then on (loss.h). The host calls it right after build().
  // Throws Error{kConfig} for a loss that is unknown or named twice, Error{kPlugin} when the model
  // has a submodule of that name.  [main-thread & built & once]
  void init_losses(const Registry& registry);

  // Adds to a batch what forward() would otherwise have to ask the device for: how many tokens
  // there are, where they are (nn/attention.h: add_token_places). Called with each batch as it was
  // collated, on the CPU, before it is copied to the device; by worker threads, several at a time,
  // so it reads neither weights nor anything that changes. What it may not do is take a field away,
  // or change one. The default does nothing.  [any-thread & built]
  virtual void on_before_batch_transfer(SampleList& batch) const;

  // Scores one batch. Returns `scores`, `fields` that the config's losses read (embeddings,
  // attentions), or its own `losses`; or several of them.
  // Throws Error{kData} when a required field is missing.  [train-thread & built]
  virtual ModelOutput forward(const SampleList& batch) = 0;

  // Does forward() return its own `losses`? A model that says so needs none in its config; where
  // neither has any, the host refuses to train.  [main-thread & built]
  [[nodiscard]] virtual bool makes_losses() const;

  // Forgets activations that forward() can compute again from what it keeps, and does so in the
  // backward pass: less memory, about a third more time, the same numbers (Chen et al., "Training
  // Deep Nets with Sublinear Memory Cost", 2016; nn/recompute.h). Returns false, and changes
  // nothing, where the model has no such parts, which is the default.  [main-thread & built]
  [[nodiscard]] virtual bool enable_recompute();

  // forward(), then the host's losses unless the model returned `losses` (told once in the log).
  // Throws Error{kPlugin} when forward returned nothing of that.  [train-thread & built]
  ModelOutput operator()(const SampleList& batch);

  // What the loops call for a batch of the split train, val or test; `batch_idx` counts from 0 in
  // the epoch or split. All three are operator() unless a model has a reason, and fail as it does.
  // [train-thread & built]
  virtual ModelOutput training_step(const SampleList& batch, std::int64_t batch_idx);
  virtual ModelOutput validation_step(const SampleList& batch, std::int64_t batch_idx);
  virtual ModelOutput test_step(const SampleList& batch, std::int64_t batch_idx);

  // The current name of a weight that an older release saved as `key`; `key` itself otherwise.
  // [main-thread & built]
  [[nodiscard]] virtual std::string format_state_key(const std::string& key) const;

  // Makes of what the release `from_version` of the plugin saved what this one loads: the weights
  // under the names that they have in the file, and what on_save_checkpoint() had put into
  // `extras`. The host calls it before the weights of a checkpoint are loaded, when the plugin that
  // saved it had another version, newer ones included. Returns whether it knows that version; what
  // it does not know is loaded as it is within a major version (0.x: within x), and refused
  // otherwise, which is the default. Throws Error{kCheckpoint} for what cannot be brought over. The
  // optimizer's state stays under the old names of its parameters. A checkpoint with averaged
  // weights has two sets: it is called once for each, with the extras as they were saved.
  // [main-thread & built]
  [[nodiscard]] virtual bool migrate_state(const std::string& from_version, StateDict& weights,
                                           Value& extras) const;

  // Copies `state` into the model's parameters and buffers, each key renamed by format_state_key.
  // Throws Error{kCheckpoint} when shapes differ, two keys get the same name, or, with
  // Strict::kYes, any key is missing or unexpected; all of them are listed and nothing has changed.
  // A submodule that is registered twice has two keys; the later one wins. Tensors that the caller
  // gives up (`std::move(state)`) are not copied but take the place of the model's memory, where
  // they are alike in dtype, device and layout and nobody else sees either.  [main-thread & built]
  LoadReport load_state_dict(StateDict state, Strict strict);

  // Reads the weights in `path`, a file or folder in any form that the host knows (safetensors,
  // PyTorch's, Hugging Face's folders), and takes those that the model has: load_state_dict with
  // Strict::kNo, then on_pretrained_loaded. Throws Error{kCheckpoint} for what cannot be read, or
  // fits nowhere.  [main-thread & built]
  LoadReport from_pretrained(const std::string& path);
  // The model has taken weights of another training, all but report.missing_keys. The default does
  // nothing.  [main-thread & built]
  virtual void on_pretrained_loaded(const LoadReport& report);

  // What the model wants saved besides its weights, and gets back after they are loaded: a table
  // under its own keys. It passes through JSON, where a NaN becomes null. on_load_checkpoint throws
  // Error{kCheckpoint} for what it cannot take.  [train-thread & built]
  virtual void on_save_checkpoint(Value& extras) const;
  virtual void on_load_checkpoint(const Value& extras);

  // Parameter groups; `optimizer_config` is the config's `optimizer` table. The default is one
  // group of all parameters that require a gradient, each once, under its first name.
  // Throws Error{kConfig} for options that it cannot take.  [main-thread & built]
  [[nodiscard]] virtual std::vector<ParameterGroup> optimizer_parameters(
      const Config& optimizer_config) const;

  // The last word on the rows of a prediction file for one batch: `results` is what the data set
  // made of `report`.  [train-thread & built]
  [[nodiscard]] virtual std::vector<Value> format_for_prediction(std::vector<Value> results,
                                                                 const Report& report) const;

  [[nodiscard]] const Config& config() const noexcept { return config_; }
  // The number of elements of all parameters, and of those that require a gradient; one that is
  // registered twice counts once.  [main-thread]
  [[nodiscard]] std::int64_t num_parameters() const;
  [[nodiscard]] std::int64_t num_trained_parameters() const;

 private:
  Config config_;
  std::shared_ptr<Losses> losses_;  // shared: torch::nn children are
  bool told_about_losses_ = false;
};

}  // namespace pergola
