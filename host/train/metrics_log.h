// SPDX-License-Identifier: BSD-3-Clause
// metrics.jsonl: one JSON object for each log or evaluation point of a run, so that any tool can
// follow it. Appended line by line; training thread, but for sync(). No LibTorch here.
#pragma once

#include "host/support/files.h"
#include "pergola/callback.h"
#include "pergola/value.h"

#include <cstdint>
#include <filesystem>
#include <string>

namespace pergola::host {

class MetricsLog {
 public:
  // Opens the file. Lines of updates after `last_update`, and those of write_final, are taken out
  // first: a resumed run writes them again. So are the line of the validation of `last_update`,
  // when that is still to be done, and an end that a power cut tore. Throws Error{kCheckpoint} when
  // it cannot be read or written, or is damaged otherwise.
  enum class LastValidation { kDone, kPending };
  MetricsLog(std::filesystem::path path, std::int64_t last_update,
             LastValidation validation = LastValidation::kDone);

  // Appends {"time", "epoch", "update", "split", <numbers>, "system": {<system>}}; time is seconds
  // since 1970. What the clock and the machine say goes into `system`, which is left out when it is
  // empty: all else but the time is the same when the same run is done again. Throws
  // Error{kCheckpoint} when the disk is full; the file then ends with a whole line.
  void write(const Progress& progress, const std::string& split, const Numbers& numbers,
             const Numbers& system = {});

  // The same for a split that is evaluated after training, with the weights of `checkpoint` ("best"
  // or "last"), which the line names; `weights` says from when they are.
  void write_final(const Progress& weights, const std::string& split, const std::string& checkpoint,
                   const Numbers& numbers);

  // Lines of training and its validations that the file holds: those kept of before, and those
  // written since.
  [[nodiscard]] std::int64_t num_lines() const noexcept { return num_lines_; }

  // Brings all lines so far to the disk. Due before a checkpoint gets its place: a run that is
  // resumed from it writes none of them again. Any thread, while another one writes.
  void sync() const;

 private:
  void append(const Progress& progress, const std::string& split, Value row,
              const Numbers& numbers);

  std::filesystem::path path_;
  UniqueFd file_;
  std::int64_t num_lines_ = 0;
};

}  // namespace pergola::host
