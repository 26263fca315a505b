// SPDX-License-Identifier: BSD-3-Clause
// The checkpoints that are in a run's folder, measured from outside: their files are there and have
// their sizes, or do not; what is in them is neither loaded nor verified. A plain value;
// thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

struct SavedCheckpoint {
  std::string name;                    // "last", "best", "update_00001000"
  std::optional<std::int64_t> update;  // of update_*; the others' state.json says it
  std::uintmax_t bytes = 0;
  std::string problem;  // "" where all of its files are there with the sizes of the manifest
};

struct SavedCheckpoints {
  std::vector<SavedCheckpoint> list;  // update_* come last, in their order
  std::uintmax_t bytes = 0;           // on the disk: a file with two names counts once
};

// Of the folder `checkpoints`; none when it is not there.
[[nodiscard]] SavedCheckpoints list_checkpoints(const std::filesystem::path& folder);

}  // namespace pergola::host
