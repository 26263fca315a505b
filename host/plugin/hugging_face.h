// SPDX-License-Identifier: BSD-3-Clause
// What a model is called at Hugging Face: [models.<key>.hugging_face] of a plugin's manifest, in
// both directions. Weights from there get the model's names when they are loaded, and `checkpoint
// convert --to hf` gives the model's weights theirs. Plain data and functions; thread-safe.
#pragma once

#include "pergola/value.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

class TableReader;

// Where a size of config.json can be seen: "a.weight[1]" is the second dimension of that weight,
// "a.layer" the number of parts a.layer.0, a.layer.1, ...
struct SizeSource {
  std::string name;
  std::optional<std::size_t> dim;
};
using SizeSources = std::map<std::string, SizeSource>;  // by the key of config.json

// A class of theirs, such as VisualBertForQuestionAnswering.
struct HuggingFaceClass {
  std::string name;
  std::map<std::string, std::string> names;  // beginning of the model's names, of theirs
  SizeSources sizes;                         // the class fits weights that have these
  Value when = Value(Value::Table{});        // and a config that says this
};

struct HuggingFaceFormat {
  std::string model_type;
  std::vector<std::string> config;          // keys of config.json that the model's config has too
  Value constants = Value(Value::Table{});  // keys of config.json that are always the same
  // num_attention_heads by hidden_size, where nobody says it; 0: then somebody must, if the model's
  // config has that key.
  std::int64_t head_size = 0;
  std::string note;               // what users of the written folder must know; may be empty
  std::vector<std::string> skip;  // last parts of the model's names: no weights there
  std::map<std::string, std::string> parts;  // of names: the model's, theirs
  SizeSources sizes;
  std::vector<HuggingFaceClass> classes;  // the first that fits is written; all are read
};

// `config`: the defaults of the model's config. Throws Error{kPlugin}, with the place, for what is
// unknown, missing or of the wrong type, for keys that `config` has not, and for two names of the
// model's under one of theirs, which could not be read back.
[[nodiscard]] HuggingFaceFormat parse_hugging_face(const TableReader& reader, const Value& config);

// The model's name of a weight that is called `name` there; `name` itself when it is none of
// theirs.
[[nodiscard]] std::string own_name(const HuggingFaceFormat& format, const std::string& name);

// Whether the class has no such weight and needs none: its name ends with one of `skip`.
[[nodiscard]] bool is_skipped(const HuggingFaceFormat& format, const std::string& name);

// The name in that class of a weight of the model's; nothing when it has no place there.
[[nodiscard]] std::optional<std::string> name_in(const HuggingFaceFormat& format,
                                                 const HuggingFaceClass& of,
                                                 const std::string& name);

}  // namespace pergola::host
