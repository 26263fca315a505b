// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/predictions.h"

#include "host/support/file_ops.h"
#include "host/support/json.h"
#include "pergola/error.h"

namespace pergola::host {
namespace {

std::string cell(const Value& value) {
  if (value.is_null()) return "";
  std::string text = value.is_string() ? value.as_string() : to_json(value);
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace

PredictionWriter::PredictionWriter(std::filesystem::path path)
    : path_(std::move(path)),
      temporary_(temporary_path(path_)),
      is_csv_(path_.extension() == ".csv") {
  make_directories(path_.parent_path());
  file_ = create_file(temporary_);
}

PredictionWriter::~PredictionWriter() {
  if (file_) static_cast<void>(remove_file(temporary_));
}

std::string PredictionWriter::json_of(const Value& row) const {
  return (rows_ == 0 ? "[\n" : ",\n") + to_json(row);
}

std::string PredictionWriter::csv_of(const Value& row) {
  const Value::Table& cells = row.as_table();
  std::string text;
  if (rows_ == 0) {
    for (const auto& [key, value] : cells) {
      text += (columns_.empty() ? "" : ",") + cell(key);
      columns_.push_back(key);
    }
    text += '\n';
  }
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const auto found = cells.find(columns_[i]);
    text += (i == 0 ? "" : ",") + cell(found == cells.end() ? Value() : found->second);
  }
  return text + '\n';
}

void PredictionWriter::write(const std::vector<Value>& rows) {
  std::string text;
  for (const Value& row : rows) {
    text += is_csv_ ? csv_of(row) : json_of(row);
    ++rows_;
  }
  write_all(file_.get(), text, path_);
}

std::size_t PredictionWriter::finish() {
  if (!is_csv_) write_all(file_.get(), rows_ == 0 ? "[]\n" : "\n]\n", path_);
  sync_fd(file_.get(), path_);
  if (const auto error = rename_path(temporary_, path_)) {
    throw file_error(ErrorKind::kCheckpoint, "write", path_, error.value());
  }
  file_.reset();
  sync_directory(path_.parent_path());
  return rows_;
}

}  // namespace pergola::host
