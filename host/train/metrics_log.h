// SPDX-License-Identifier: BSD-3-Clause
// metrics.jsonl: one JSON object for each log or evaluation point of a run, so that any tool can
// follow it. Appended line by line; training thread. No LibTorch here.
#pragma once

#include "host/support/files.h"
#include "pergola/callback.h"
#include "pergola/value.h"

#include <filesystem>
#include <string>

namespace pergola::host {

class MetricsLog {
 public:
  // Opens the file. Lines of updates after `last_update`, and those of write_final, are taken out
  // first: a resumed run writes them again. Throws Error{kCheckpoint} when it cannot be read or
  // written.
  MetricsLog(std::filesystem::path path, std::int64_t last_update);

  // Appends {"time", "epoch", "update", "split", <numbers>}; time is seconds since 1970. Throws
  // Error{kCheckpoint} when the disk is full; the file then ends with a whole line.
  void write(const Progress& progress, const std::string& split, const Numbers& numbers);

  // The same for a split that is evaluated after training, with the weights of `checkpoint` ("best"
  // or "last"), which the line names; `weights` says from when they are.
  void write_final(const Progress& weights, const std::string& split, const std::string& checkpoint,
                   const Numbers& numbers);

 private:
  void append(const Progress& progress, const std::string& split, Value row,
              const Numbers& numbers);

  std::filesystem::path path_;
  UniqueFd file_;
};

}  // namespace pergola::host
