// SPDX-License-Identifier: BSD-3-Clause
// A folder for a run of which nothing is kept (training.fast_dev_run). Main thread. No LibTorch
// here.
#pragma once

#include <cstdint>
#include <filesystem>

namespace pergola::host {

// Says in the log that what follows is one, with so many batches of each split.
void log_rehearsal(std::int64_t batches);

class RehearsalFolder {
 public:
  // Makes a new one where the system has its temporary files. Throws Error{kCheckpoint} when it
  // cannot.
  RehearsalFolder();
  RehearsalFolder(const RehearsalFolder&) = delete;
  RehearsalFolder& operator=(const RehearsalFolder&) = delete;
  // Removes it with all that is in it.
  ~RehearsalFolder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace pergola::host
