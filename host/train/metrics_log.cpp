// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/metrics_log.h"

#include "host/support/json.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace pergola::host {
namespace {

constexpr const char* kCheckpoint = "checkpoint";  // in the lines of write_final() alone

Value parse_row(const std::string& line, const std::string& where) {
  try {
    return from_json(line, where, ErrorKind::kCheckpoint);
  } catch (const Error&) {  // says what to do with a file of one text
    throw Error(ErrorKind::kCheckpoint, where,
                " is damaged: it is not valid JSON; remove that line, or the file");
  }
}

// The lines that a run resumed after `last_update` keeps. A last line without its end was being
// written when the process died.
std::string kept_lines(const std::string& text, const std::string& path, std::int64_t last_update) {
  std::string kept;
  std::size_t begin = 0;
  std::int64_t number = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end - begin + 1);
    begin = end + 1;
    const Value row = parse_row(line, concat(path, ":", ++number));
    const Value* update = row.find("update");
    if (row.find(kCheckpoint) != nullptr) continue;
    if (update != nullptr && update->type() == Value::Type::kInteger &&
        update->as_integer() <= last_update) {
      kept += line;
    }
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(std::filesystem::path path, std::int64_t last_update)
    : path_(std::move(path)) {
  if (std::filesystem::exists(path_)) {
    const std::string text = read_file(path_, ErrorKind::kCheckpoint);
    const std::string kept = kept_lines(text, path_.string(), last_update);
    if (kept != text) write_file_atomic(path_, kept);
  }
  file_ = UniqueFd(open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!file_) throw file_error(ErrorKind::kCheckpoint, "write", path_, errno);
}

void MetricsLog::write(const Progress& progress, const std::string& split, const Numbers& numbers) {
  append(progress, split, Value::Table{}, numbers);
}

void MetricsLog::write_final(const Progress& weights, const std::string& split,
                             const std::string& checkpoint, const Numbers& numbers) {
  append(weights, split, Value::Table{{kCheckpoint, checkpoint}}, numbers);
}

void MetricsLog::append(const Progress& progress, const std::string& split, Value row,
                        const Numbers& numbers) {
  using std::chrono::system_clock;
  const std::chrono::duration<double> now = system_clock::now().time_since_epoch();
  row["time"] = now.count();
  row["epoch"] = progress.epoch;
  row["update"] = progress.update;
  row["split"] = split;
  for (const auto& [key, number] : numbers) row[key] = number;
  const off_t whole = lseek(file_.get(), 0, SEEK_END);
  try {
    write_all(file_.get(), to_json(row) + '\n', path_);
  } catch (const Error&) {
    // Half a line would hide the lines that a later run appends; the disk may be full.
    if (ftruncate(file_.get(), whole) != 0) throw;
    throw;
  }
}

}  // namespace pergola::host
