// SPDX-License-Identifier: BSD-3-Clause
// A Dataset is one split: it knows its size and makes any sample on request. Order, batches,
// prefetching and devices are the host's.
#pragma once

#include "pergola/config.h"
#include "pergola/report.h"
#include "pergola/rng.h"
#include "pergola/sample_list.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace pergola {

class Registry;

// What a data set is made from.
struct DatasetOptions {
  std::string name;                // the key in dataset_config, "easy_vqa"
  std::string type;                // the split: "train", "val" or "test"
  Config config;                   // dataset_config.<name>
  std::filesystem::path data_dir;  // env.data_dir
  const Registry& registry;        // where processors are looked up
  // Of a checkpoint, what state_dict() gave. The data set then reads none of its files, has no
  // samples of its own, and makes those of sample_from(). Null: it is made from its files.
  const Value* state = nullptr;
};

// What a sample is made from that is in no data set: what a user asks about.
struct SampleInputs {
  std::string text;  // empty: none
  std::vector<std::filesystem::path> images;
  std::vector<std::filesystem::path> features;  // .npy files of regions
};

class PERGOLA_API Dataset {
 public:
  Dataset();
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;
  virtual ~Dataset();

  // The number of samples, the same at each call.  [any thread, at the same time]
  [[nodiscard]] virtual std::int64_t size() const = 0;

  // Sample `index`. Throws Error{kData} that names the file or row.  REQUIRES: 0 <= index < size().
  // [any thread, at the same time]
  [[nodiscard]] virtual Sample get(std::int64_t index, Rng& rng) const = 0;

  // What a model may need to know before it is built: `text_vocab_size`, `num_final_outputs`, ...
  // A table; the host fills keys of the same name in model_config that are 0.  [main-thread]
  [[nodiscard]] virtual Value facts() const;

  // Rows of the prediction file for one batch, a table each; {} when the set has no such form.
  // Those of sample_from() say nothing of a place in the data. Throws Error{kData} when the report
  // lacks what the rows are made of.  [train-thread]
  [[nodiscard]] virtual std::vector<Value> format_for_prediction(const Report& report) const;

  // How probable each answer is, [batch, answers] like the model's scores: what rows of the
  // prediction file have. By default, their softmax.  [train-thread]
  [[nodiscard]] virtual at::Tensor probabilities(const at::Tensor& scores) const;

  // What sample_from() needs to know of the data, as a table that JSON can hold (vocabularies, the
  // size of images): checkpoints have it, so that they are used where the data are not. A table
  // `processors` in it is the same of all splits of a data set: the host compares a checkpoint's
  // with that of any of them. By default null: there is no sample_from().  [main-thread]
  [[nodiscard]] virtual Value state_dict() const;

  // The sample that get() would make of these inputs, without targets. Throws Error{kConfig} that
  // names the option (--text, --image, --features) of an input that is missing or one too many, and
  // Error{kData} that names the file that is wrong; by default, Error{kConfig}.
  // [any thread, at the same time]
  [[nodiscard]] virtual Sample sample_from(const SampleInputs& inputs, Rng& rng) const;
};

}  // namespace pergola
