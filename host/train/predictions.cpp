// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/predictions.h"

#include "host/support/file_ops.h"
#include "host/support/json.h"
#include "pergola/error.h"

namespace pergola::host {

PredictionWriter::PredictionWriter(std::filesystem::path path)
    : path_(std::move(path)), temporary_(temporary_path(path_)) {
  make_directories(path_.parent_path());
  file_ = create_file(temporary_);
}

PredictionWriter::~PredictionWriter() {
  if (file_) static_cast<void>(remove_file(temporary_));
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
  if (const auto error = rename_path(temporary_, path_)) {
    throw file_error(ErrorKind::kCheckpoint, "write", path_, error.value());
  }
  file_.reset();
  sync_directory(path_.parent_path());
  return rows_;
}

}  // namespace pergola::host
