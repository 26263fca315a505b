// SPDX-License-Identifier: BSD-3-Clause
// What `pergola checkpoint` shows and converts. Main thread. No LibTorch here.
#pragma once

#include "host/config/model_table.h"
#include "host/config/overrides.h"
#include "host/plugin/catalog.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {

struct CheckedFile {
  std::string name;
  std::uint64_t size = 0;  // as the manifest says
  std::string hash;
  std::string problem;   // empty when the file is as the manifest says
  bool missing = false;  // there is no such file: that is the problem
};

// Every file of a checkpoint against its manifest; of a run's folder, of all of its checkpoints.
// Throws Error{kCheckpoint} when a checkpoint that was named itself has no sound manifest, and when
// a run has no checkpoint.
[[nodiscard]] std::vector<CheckedFile> verify_files(const std::filesystem::path& path);

// Progress, model, plugin and config of a checkpoint, or of a run's best or last, after every byte
// was verified; of other files and folders of weights, what they are and what stands beside the
// weights, without reading the data. Then name, type and shape of every tensor. Lines of text.
// Throws Error{kCheckpoint} for what is damaged or unknown.
[[nodiscard]] std::string describe_checkpoint(const std::filesystem::path& path);

// The files of weights that convert_checkpoint writes: safetensors, or torch.save's.
enum class WeightsFormat { kSafetensors, kTorch };

// Writes the weights of `from`, a run (its best, or last) or a file or folder in any form that is
// known, to the file `to` in `format`, whole or not at all. Returns a line that says what was done.
// Throws Error{kCheckpoint} when there is anything at `to`, and for a dtype that `format` has not.
[[nodiscard]] std::string convert_checkpoint(const std::filesystem::path& from,
                                             const std::filesystem::path& to, WeightsFormat format);

// Writes a folder `to` that Hugging Face's from_pretrained loads, as the manifest of the plugin
// that has the model says (host/plugin/hugging_face.h); no plugin is loaded. `from`: a checkpoint,
// a run (its best, or last), or weights under the model's names or Hugging Face's, which are of the
// model whose sizes they have. `words` go over the model's config. Returns a line that says what
// was done; the log says what was left out. Throws Error{kCheckpoint} as convert_checkpoint does
// and for weights of no model that Hugging Face has, Error{kConfig} for words that the model's
// config has not.
[[nodiscard]] std::string convert_to_hugging_face(const std::filesystem::path& from,
                                                  const std::filesystem::path& to,
                                                  const PluginCatalog& catalog,
                                                  const std::vector<Override>& words);

// The config of the run that saved `state`, a checkpoint's in `folder`. Throws Error{kCheckpoint}
// when it has none.
[[nodiscard]] Value saved_config(const Value& state, const std::filesystem::path& folder);

// What the checkpoint at `path`, or a run's best or last, says of its model; where it is gone, what
// the run in `run_dir` says, which began with it. Throws Error{kConfig} for what is no checkpoint
// of Pergola, Error{kCheckpoint} for one that is damaged.
[[nodiscard]] SavedModel read_saved_model(const std::filesystem::path& path,
                                          const std::filesystem::path& run_dir);

}  // namespace pergola::host
