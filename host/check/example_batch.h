// SPDX-License-Identifier: BSD-3-Clause
// Batches of made-up samples for a model, from what its plugin's manifest says that it reads. They
// are a function of the plan alone, so that one sample can be had again, by itself or among others.
// Thread-safe after construction.
#pragma once

#include "host/plugin/manifest.h"
#include "pergola/sample_list.h"
#include "pergola/value.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace pergola::host {

// Which samples. Sample k depends on `seed`, k and its own sizes, and not on `first` and `count`.
struct BatchPlan {
  std::int64_t first = 0;
  std::int64_t count = 2;
  // Each sample has its own length of each size that has a length or a mask, between the least and
  // the most of that size, and the batch is as long as the longest of its samples.
  bool ragged = true;
  std::uint64_t seed = 1;
  // Of all samples, where they have no length of their own; where it says nothing, the most.
  std::map<std::string, std::int64_t> sizes = {};
};

class ExampleBatches {
 public:
  // `config`: the model's whole one. Throws Error{kConfig}, naming field and key, for a key that
  // is no integer of 1 or more there, or leaves nothing that a field can be.
  ExampleBatches(const ModelInputs& inputs, const Value& config);

  // On the CPU, of the data set "example", split "train". Throws Error{kConfig} for a field of more
  // than 2^27 numbers.
  // REQUIRES: plan.count > 0; plan.first >= 0; plan.sizes are sizes of the model, each 1 or more.
  [[nodiscard]] SampleList make(const BatchPlan& plan) const;

  // Whether some size has a length or a mask, so that samples can be shorter than their batch.
  [[nodiscard]] bool has_lengths() const;
  // All that are float32, one_hot ones and masks included; "group.field" where they are in a group.
  [[nodiscard]] std::vector<std::string> float_fields() const;

 private:
  [[nodiscard]] std::map<std::string, std::int64_t> sizes_of(const BatchPlan& plan,
                                                             std::int64_t sample) const;

  std::vector<FieldSpec> fields_;  // with the numbers of the config's keys
  std::map<std::string, SizeRange> sizes_;
  std::set<std::string> counted_;  // those that have a length or a mask
};

// The config with which a model is examined: its defaults, the manifest's check.config over them,
// and 12 for each fact of the data set that is still 0: text_vocab_size, num_final_outputs, and
// what the manifest calls one.
[[nodiscard]] Value examined_config(const ConfigurableManifest& model);

}  // namespace pergola::host
