// SPDX-License-Identifier: BSD-3-Clause
// A checkpoint: all that a run is continued from, as one folder that is either whole or refused
// (host/docs/checkpoint_format.md has files, bytes and the order of the steps).
// One process writes a folder; reading is thread-safe.
#pragma once

#include "host/checkpoint/digest.h"
#include "host/checkpoint/staged_folder.h"
#include "pergola/state_dict.h"
#include "pergola/value.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

struct CheckpointContent {
  StateDict model;               // the plugin's own keys
  StateDict trainer;             // optimizer, scaler, "rng/cpu", ...
  Value state = Value::Table{};  // progress, scheduler, callbacks, config, extras, plugin
};

// Which weights are read: all, only what a prediction needs, or none.
enum class CheckpointParts { kAll, kModel, kState };

// Saving replaces a folder whole, so it must be empty or a checkpoint, and one that this user may
// remove: throws Error{kCheckpoint} otherwise. What is no folder at all is left to others.
void check_replaceable(const std::filesystem::path& folder);

// Puts `content` at `folder` in one step and durably; a checkpoint that was there is replaced, and
// stays usable until the new one is in place. Floats of `state` that are not finite are read back
// as null: JSON has none. Tensors are copied to the CPU one at a time. Throws Error{kCheckpoint},
// and then leaves the old checkpoint and nothing else: too little space, no permission, a folder
// that is not a checkpoint, a tensor or state that cannot be stored. REQUIRES: content.state is a
// table.
void save_checkpoint(const std::filesystem::path& folder, const CheckpointContent& content,
                     const SaveHooks& hooks = {});

struct FileReport {
  std::string name;
  std::string problem;   // a sentence; empty when the file is as the manifest says
  bool missing = false;  // there is no such file: that is the problem
  FileDigest expected;
  std::optional<FileDigest> found;  // none when it cannot be read; no hash when the size differs
};

struct CheckpointReport {
  std::string problem;  // of the manifest itself; empty when it is sound
  std::vector<FileReport> files;

  // The first sentence that says why this checkpoint cannot be used; empty when it can.
  [[nodiscard]] std::string first_problem() const;
  [[nodiscard]] bool ok() const { return first_problem().empty(); }
};

// Compares every file with the manifest. Throws nothing for a bad checkpoint: the report says it.
[[nodiscard]] CheckpointReport verify_checkpoint(const std::filesystem::path& folder);

// Verifies all files, and then reads those parts; the other weights stay empty.
// Throws Error{kCheckpoint} that names the file, what was found and what was expected.
[[nodiscard]] CheckpointContent load_checkpoint(const std::filesystem::path& folder,
                                                CheckpointParts parts = CheckpointParts::kAll);

}  // namespace pergola::host
