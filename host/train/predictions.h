// SPDX-License-Identifier: BSD-3-Clause
// Writes a prediction file, a JSON array of rows, as the rows come: memory stays bounded however
// large the split is, and the file appears only when it is whole. No LibTorch here.
#pragma once

#include "host/support/files.h"
#include "pergola/value.h"

#include <filesystem>
#include <string>
#include <vector>

namespace pergola::host {

class PredictionWriter {
 public:
  // Begins a temporary file beside `path`. Throws Error{kCheckpoint} when it cannot be written.
  explicit PredictionWriter(std::filesystem::path path);
  PredictionWriter(const PredictionWriter&) = delete;
  PredictionWriter& operator=(const PredictionWriter&) = delete;
  // Removes the temporary file unless finish() was called.
  ~PredictionWriter();

  void write(const std::vector<Value>& rows);
  // Ends the array and puts the file in place, durably. Returns the number of rows.
  std::size_t finish();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  UniqueFd file_;
  std::size_t rows_ = 0;
};

}  // namespace pergola::host
