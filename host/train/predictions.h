// SPDX-License-Identifier: BSD-3-Clause
// Writes a prediction file as the rows come: memory stays bounded however large the split is, and
// the file appears only when it is whole. A JSON array of rows; or, where its name ends with .csv,
// a table (RFC 4180) with the keys of the first row as its head, and JSON for what is no text.
// No LibTorch here.
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
  // Ends the file and puts it in place, durably. Returns the number of rows.
  std::size_t finish();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  [[nodiscard]] std::string json_of(const Value& row) const;
  [[nodiscard]] std::string csv_of(const Value& row);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  UniqueFd file_;
  bool is_csv_;
  std::vector<std::string> columns_;  // of a table
  std::size_t rows_ = 0;
};

}  // namespace pergola::host
