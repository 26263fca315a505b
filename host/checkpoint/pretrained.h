// SPDX-License-Identifier: BSD-3-Clause
// A model that starts from weights of another training: what of them it takes, and what not.
// Main thread.
#pragma once

#include "host/checkpoint/state_mapping.h"
#include "host/plugin/hugging_face.h"
#include "pergola/base_model.h"

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {

struct PretrainedOptions {
  StateMapping mapping = {};                        // empty: every weight keeps its name
  bool resize_positions = false;                    // take position tables of other lengths
  bool bypass_shape_mismatch = false;               // leave out those of other shapes
  const HuggingFaceFormat* hugging_face = nullptr;  // the model's names there, if it has any
};

struct PretrainedReport {
  std::string format;                 // what the file was recognised as
  std::size_t matched = 0;            // weights of the model that it has, under any of their names
  std::vector<std::string> missing;   // weights of the model that it has not; no constants
  std::vector<std::string> left_out;  // of the file
  std::vector<std::string> resized;
  std::string table;  // a line for each of the last three, and a head

  // "took 197 of the model's 199 weights (safetensors); 2 missing in it, 3 left out of it"
  [[nodiscard]] std::string summary() const;
};

// Reads weights from `path` in any form that open_weights knows, and copies into `model` those that
// it has: those of the mapping, whose names may be the file's own or what format_state_key and
// own_name make of them, or all; then calls on_pretrained_loaded with what is missing. Throws
// Error{kCheckpoint}, and the model is as before, when the path cannot be read, a shape differs
// (unless such are left out), numbers are packed, or nothing fits.
[[nodiscard]] PretrainedReport load_pretrained(BaseModel& model, const std::filesystem::path& path,
                                               const PretrainedOptions& options);

}  // namespace pergola::host
