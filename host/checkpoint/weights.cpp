// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/weights.h"

#include "host/checkpoint/checkpoint.h"
#include "host/checkpoint/input_file.h"
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/safetensors.h"
#include "host/checkpoint/sharded_weights.h"
#include "host/checkpoint/staged_folder.h"
#include "host/checkpoint/torch_layout.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <algorithm>
#include <string_view>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// Files of Hugging Face's folders, in the order in which its own library looks for them.
constexpr const char* kFolderFiles[] = {"model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "pytorch_model.bin.index.json"};

// What DistributedDataParallel and torch.compile put before every name.
constexpr std::string_view kWrappers[] = {"module.", "_orig_mod."};

bool is_safetensors(const InputFile& file) {
  std::string start(std::min<std::uint64_t>(file.size(), kHeaderLengthBytes + 1), '\0');
  file.read(start.data(), start.size(), 0);
  return start.size() > kHeaderLengthBytes && start.back() == '{';
}

WeightsFile open_safetensors(const fs::path& path) {
  const SafetensorsHeader header = read_safetensors_header(path);
  WeightsFile weights;
  weights.format = "safetensors";
  for (const auto& [key, text] : header.metadata) weights.metadata[key] = text;
  for (const TensorEntry& entry : header.tensors) {
    weights.tensors.push_back({entry.name, entry.dtype, entry.shape});
  }
  weights.load = [path] { return read_safetensors(path); };
  return weights;
}

WeightsFile open_file_of_weights(const fs::path& path) {
  const InputFile file(path);
  if (is_safetensors(file)) return open_safetensors(path);
  if (is_torch_file(file)) return open_torch_weights(path);
  throw Error(ErrorKind::kCheckpoint, path.string(),
              " is no file of weights that is known: it begins neither as safetensors nor as a "
              "file of torch.save; convert it with the program that wrote it");
}

// The file of Hugging Face's that the weights of the folder are in, or behind; "" without one.
std::string hugging_face_file(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {kManifestFile, kTrainerFile, kStateFile}) {
    if (fs::exists(folder / name, error)) return "";  // its model.safetensors is Pergola's
  }
  for (const char* name : kFolderFiles) {
    if (fs::exists(folder / name, error)) return name;
  }
  return "";
}

WeightsFile open_pergola(const fs::path& folder) {
  static_cast<void>(read_manifest(folder));
  WeightsFile weights = open_safetensors(folder / kModelFile);
  weights.format = "Pergola checkpoint";
  weights.metadata = from_json(read_file(folder / kStateFile, ErrorKind::kCheckpoint),
                               (folder / kStateFile).string(), ErrorKind::kCheckpoint);
  if (!weights.metadata.is_table()) weights.metadata = Value::Table{};
  weights.metadata.as_table().erase("config");  // a file of its own
  weights.load = [folder] { return load_checkpoint(folder, CheckpointParts::kModel).model; };
  return weights;
}

WeightsFile open_folder(const fs::path& folder) {
  if (const std::string name = hugging_face_file(folder); !name.empty()) {
    WeightsFile weights = name.ends_with(".json") ? open_sharded(folder, name, open_file_of_weights)
                                                  : open_file_of_weights(folder / name);
    weights.format = concat("Hugging Face folder, ", name, ": ", weights.format);
    return weights;
  }
  std::error_code error;
  const auto is_there = [&](const char* name) { return fs::exists(folder / name, error); };
  if (std::ranges::any_of(kCheckpointFiles, is_there)) return open_pergola(folder);
  refuse_folder_of_checkpoints(folder);
  throw Error(ErrorKind::kCheckpoint, "there are no weights in the folder ", folder.string(),
              "; expected a MANIFEST.json of Pergola's, or Hugging Face's model.safetensors, "
              "pytorch_model.bin or an index of several; name the file itself if it has another "
              "name");
}

// A name without the wrapper that every name has.
std::string unwrapped(const std::string& name, std::string_view wrapper) {
  return name.substr(wrapper.size());
}

void unwrap(WeightsFile& weights) {
  for (const std::string_view wrapper : kWrappers) {
    const bool all = std::ranges::all_of(weights.tensors, [&](const WeightEntry& entry) {
      return entry.name.starts_with(wrapper) && entry.name.size() > wrapper.size();
    });
    if (!all || weights.tensors.empty()) continue;
    for (WeightEntry& entry : weights.tensors) entry.name = unwrapped(entry.name, wrapper);
    weights.load = [load = std::move(weights.load), wrapper] {
      StateDict state = load();
      for (auto& [name, tensor] : state) name = unwrapped(name, wrapper);
      return state;
    };
    weights.format += concat(", its names without '", wrapper, "'");
  }
}

}  // namespace

bool is_hugging_face_folder(const fs::path& path) { return !hugging_face_file(path).empty(); }

WeightsFile open_weights(const fs::path& path) {
  std::error_code error;
  const fs::path present = present_folder(path);  // where a save that was cut short left it
  WeightsFile weights =
      fs::is_directory(present, error) ? open_folder(present) : open_file_of_weights(path);
  unwrap(weights);
  return weights;
}

Weights read_weights(const fs::path& path) {
  WeightsFile file = open_weights(path);
  return {file.load(), std::move(file.format), std::move(file.metadata)};
}

}  // namespace pergola::host
