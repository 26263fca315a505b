// SPDX-License-Identifier: BSD-3-Clause
// A folder that Hugging Face's from_pretrained loads: config.json and model.safetensors, made from
// a model's weights by what its plugin's manifest says (host/plugin/hugging_face.h), and the
// tokenizer's files where its vocabulary is known. Tensors are
// shared, not copied. No state; thread-safe.
#pragma once

#include "host/plugin/hugging_face.h"
#include "pergola/state_dict.h"
#include "pergola/value.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {

// What a checkpoint has of its data.
struct CheckpointWords {
  std::vector<std::string> answers;     // by their numbers; may be empty
  std::vector<std::string> vocabulary;  // BERT's, by its ids; may be empty
  bool lower_case = true;               // what the tokenizer does to texts
};

struct HuggingFaceExport {
  std::string architecture;           // "VisualBertForQuestionAnswering"
  Value config = Value::Table{};      // config.json
  StateDict state;                    // under the names of that class
  std::vector<std::string> left_out;  // weights that have no place in it, under the model's names
  CheckpointWords words;
  bool guessed_heads = false;  // num_attention_heads is by head_size: nobody has said it
};

// Whether `state` has every size that the format looks for.
[[nodiscard]] bool has_sizes(const HuggingFaceFormat& format, const StateDict& state);

// The first class that fits. Sizes are those of the weights; the rest is from `config`, the model's
// with its defaults. `words` are taken where their numbers are those of the weights. Throws
// Error{kCheckpoint} when no class fits, and Error{kConfig} when nothing says how many attention
// heads there are.
[[nodiscard]] HuggingFaceExport export_hugging_face(const HuggingFaceFormat& format,
                                                    const StateDict& state, const Value& config,
                                                    CheckpointWords words = {});

// Writes the folder, whole or not at all; returns the bytes of its weights. Throws
// Error{kCheckpoint} when the system refuses them.  REQUIRES: there is nothing at `folder`.
std::uint64_t write_hugging_face(const std::filesystem::path& folder,
                                 const HuggingFaceExport& exported);

}  // namespace pergola::host
