// SPDX-License-Identifier: BSD-3-Clause
// What a model reads of a batch, and how small it is made to be examined: the tables `fields` and
// `check` of a model in a plugin's manifest. `pergola plugins check` makes batches of it.
//
//   [models.tiny.fields]
//   text = { dtype = "int64", shape = ["T"], low = 1, below = "text_vocab_size" }
//   text_len = { dtype = "int64", length = "T" }
//   image_feature_0 = { dtype = "float32", shape = ["R", "image_feature_dim"] }
//   image_info_0.max_features = { dtype = "int64", length = "R" }  # of a group of fields
//   targets = { dtype = "float32", shape = ["num_final_outputs"], one_hot = true }
//   [models.tiny.check]
//   config = { text_vocab_size = 20, num_final_outputs = 5 }  # over the defaults
//   sizes = { T = [1, 9], R = [2, 6] }                        # the least and the most of each size
//   without_gradient = ["pooler"]  # modules or parameters that are loaded and saved, but not used
//
// Of a field, what forward() or a loss reads under that name:
//
//   dtype    float32 (the default), int64, bool or string; a length is int64, and so is a mask
//            unless it says otherwise
//   shape    of one sample: numbers, keys of the model's config (a dotted path may be one), and
//            sizes, whose names begin with a capital letter; [] is the default
//   low, high  what numbers are between, both included. Floats without them are standard normal;
//            integers begin at 0 where `low` is missing, and need a `high` or a `below`
//   below    what an integer is less than: a number or a key of the config
//   one_hot  true: one 1 in the last dimension, else 0
//   length   "T": how many of T are the sample's own; the others are padding
//   mask     "T": [T], 1 for these and then 0
//   pad      what is behind a sample's own part of a size; 0 is the default
//   meaning  documentation
//
// A size that has neither a length nor a mask has no padding: all samples of a batch are as long.
// Plain data and functions; no state; thread-safe.
#pragma once

#include "host/config/config_params.h"
#include "host/plugin/table_reader.h"
#include "pergola/value.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

enum class FieldType { kFloat32, kInt64, kBool, kString };

// Numbers as bounds say, one 1 in the last dimension, or what is said of a size.
enum class FieldRole { kValues, kOneHot, kLength, kMask };

// A dimension of a shape, or what integers are below.
struct FieldNumber {
  enum class Kind { kNumber, kConfigKey, kSize };
  Kind kind = Kind::kNumber;
  std::int64_t number = 0;
  std::string name;  // of the key or the size
};

struct FieldSpec {
  std::string name;  // "image_info_0.max_features": of a group, which may be in another one
  FieldType type = FieldType::kFloat32;
  FieldRole role = FieldRole::kValues;
  std::vector<FieldNumber> shape;  // of one sample; empty for a length and a mask
  std::string size;                // whose length or mask it is
  // Both included; integers are within 2^53. An int64 field has `low`, and `high` or `below`; a
  // float32 field has `low` and `high`, or neither.
  std::optional<double> low;
  std::optional<double> high;
  std::optional<FieldNumber> below;
  double pad = 0.0;
  std::string meaning;
};

struct SizeRange {
  std::int64_t low = 1;  // both included
  std::int64_t high = 8;
};

struct ModelInputs {
  std::vector<FieldSpec> fields;               // sorted by name; empty: nothing is known of them
  Value check_config = Value(Value::Table{});  // what an examination puts over the defaults
  std::map<std::string, SizeRange> sizes;      // all that are in the shape of a field
  // Names of modules or parameters of which forward() makes no use with the defaults, on purpose.
  std::vector<std::string> without_gradient;
};

// The tables `fields` and `check` of the model `entry`, with `defaults` as its config; `params` is
// what is known of the config's keys. Throws Error{kPlugin}, with the place, for what is unknown,
// of the wrong type or contradicts itself, a key that the config has not, and a size that no field
// has.
// REQUIRES: `params` and all members are sorted by name.
[[nodiscard]] ModelInputs parse_model_inputs(const TableReader& entry, const Value& defaults,
                                             const ConfigParams& params);

// Whether a length or a mask says what is a sample's own of `size`.
[[nodiscard]] bool is_counted(const ModelInputs& inputs, const std::string& size);

// "text: int64 [T], at least 1, below text_vocab_size; the words", for a person.
[[nodiscard]] std::string field_text(const FieldSpec& field);

}  // namespace pergola::host
