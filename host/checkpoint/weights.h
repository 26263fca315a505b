// SPDX-License-Identifier: BSD-3-Clause
// Weights from anywhere, behind one front. What a path is, its content says and not its name:
//   safetensors; PyTorch's files of 1.0 to 2.11 with a state dict, MMF's checkpoint (`model`) or
//   Lightning's (`state_dict`); a folder of Hugging Face's (model.safetensors, pytorch_model.bin,
//   or the index of several such files); a checkpoint folder of Pergola's.
// Nothing in a file is run, and no tensor points into one. Not thread-safe.
#pragma once

#include "pergola/state_dict.h"
#include "pergola/value.h"

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace pergola::host {

struct WeightEntry {
  std::string name;
  at::ScalarType dtype;
  std::vector<std::int64_t> shape;
};

// What is known without reading the data.
struct WeightsFile {
  std::string format;                // what was recognised, "MMF checkpoint ('model') in a ..."
  Value metadata = Value::Table{};   // what stands beside the weights and is plain: epoch, ...
  std::vector<WeightEntry> tensors;  // in the order of the file
  // Reads the data: the same names in the same order, on the CPU. Tensors that share memory in the
  // file share it here, and keep their strides. Throws Error{kCheckpoint} when it is damaged.
  std::function<StateDict()> load;
};

// Whether `path` is a folder with weights in files of Hugging Face's names, and none of Pergola's.
[[nodiscard]] bool is_hugging_face_folder(const std::filesystem::path& path);

// Throws Error{kCheckpoint} for what cannot be read, holds anything but tensors and plain data, or
// is laid out in a way that is not known; the top-level keys are in the message then.
[[nodiscard]] WeightsFile open_weights(const std::filesystem::path& path);

struct Weights {
  StateDict state;
  std::string format;
  Value metadata = Value::Table{};
};

// open_weights and its load in one.
[[nodiscard]] Weights read_weights(const std::filesystem::path& path);

}  // namespace pergola::host
