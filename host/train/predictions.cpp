// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/predictions.h"

#include "host/support/json.h"
#include "pergola/error.h"

#include <unistd.h>

namespace pergola::host {

PredictionWriter::PredictionWriter(std::filesystem::path path)
    : path_(std::move(path)),
      temporary_(path_.parent_path() / concat(".", path_.filename().string(), ".", getpid())) {
  make_directories(path_.parent_path());
  file_ = create_file(temporary_);
}

PredictionWriter::~PredictionWriter() {
  std::error_code ignored;
  if (file_) std::filesystem::remove(temporary_, ignored);
}

void PredictionWriter::write(const std::vector<Value>& rows) {
  std::string text;
  for (const Value& row : rows) {
    text += rows_++ == 0 ? "[\n" : ",\n";
    text += to_json(row);
  }
  write_all(file_.get(), text, path_);
}

std::size_t PredictionWriter::finish() {
  write_all(file_.get(), rows_ == 0 ? "[]\n" : "\n]\n", path_);
  sync_fd(file_.get(), path_);
  std::error_code failed;
  std::filesystem::rename(temporary_, path_, failed);
  if (failed) throw file_error(ErrorKind::kCheckpoint, "write", path_, failed.value());
  file_.reset();
  sync_directory(path_.parent_path());
  return rows_;
}

}  // namespace pergola::host
