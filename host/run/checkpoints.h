// SPDX-License-Identifier: BSD-3-Clause
// What `pergola checkpoint` shows. Main thread. No LibTorch here.
#pragma once

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

// Every file of a checkpoint against its manifest. Throws Error{kCheckpoint} when there is no sound
// manifest.
[[nodiscard]] std::vector<CheckedFile> verify_files(const std::filesystem::path& folder);

// Progress, model, plugin and config of a checkpoint, and name, type and shape of every tensor, as
// lines of text. Throws Error{kCheckpoint} for one that is damaged.
[[nodiscard]] std::string describe_checkpoint(const std::filesystem::path& folder);

}  // namespace pergola::host
