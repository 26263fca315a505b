// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/metrics_log.h"

#include "host/support/file_ops.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace pergola::host {
namespace {

constexpr const char* kCheckpoint = "checkpoint";  // in the lines of write_final() alone

Error damaged(const std::string& where) {
  return Error(ErrorKind::kCheckpoint, where,
               " is damaged: it is not valid JSON; remove that line, or the file");
}

Value parse_row(const std::string& line, const std::string& where) {
  try {
    return from_json(line, where, ErrorKind::kCheckpoint);
  } catch (const Error&) {  // says what to do with a file of one text
    throw damaged(where);
  }
}

// What a power cut leaves of a text whose length was on the disk already and whose bytes were not.
bool is_torn(const std::string& line) { return line.find('\0') != std::string::npos; }

// The lines that a run resumed after `last_update` keeps. A last line without its end was being
// written when the process died.
std::string kept_lines(const std::string& text, const std::string& path, std::int64_t last_update,
                       bool drop_last_validation) {
  std::string kept;
  std::string torn;  // where the first such line is
  std::size_t begin = 0;
  std::int64_t number = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string line = text.substr(begin, end - begin + 1);
    begin = end + 1;
    const std::string where = concat(path, ":", ++number);
    if (is_torn(line)) {
      if (torn.empty()) torn = where;
      continue;
    }
    const Value row = parse_row(line, where);
    const Value* update = row.find("update");
    if (row.find(kCheckpoint) != nullptr) continue;
    if (update == nullptr || update->type() != Value::Type::kInteger) continue;
    if (update->as_integer() > last_update) continue;
    const bool is_last = update->as_integer() == last_update;
    const Value* const split = row.find("split");
    if (drop_last_validation && is_last && split != nullptr && *split == Value("val")) continue;
    // What a checkpoint promises was synced before it, so a power cut tears only what comes after.
    if (!torn.empty()) throw damaged(torn);
    kept += line;
  }
  if (!torn.empty()) {
    log::warning("[run] ", torn, " is dropped, for a power cut tore it; it is of no checkpoint");
  }
  return kept;
}

}  // namespace

MetricsLog::MetricsLog(std::filesystem::path path, std::int64_t last_update,
                       LastValidation validation)
    : path_(std::move(path)) {
  if (std::filesystem::exists(path_)) {
    const std::string text = read_file(path_, ErrorKind::kCheckpoint);
    const std::string kept =
        kept_lines(text, path_.string(), last_update, validation == LastValidation::kPending);
    if (kept != text) write_file_atomic(path_, kept);
    num_lines_ = std::ranges::count(kept, '\n');
  }
  file_ = UniqueFd(open_path(path_, O_WRONLY | O_CREAT | O_APPEND));
  if (!file_) throw file_error(ErrorKind::kCheckpoint, "write", path_, errno);
  sync_name(path_);
}

void MetricsLog::sync() const { sync_fd(file_.get(), path_); }

void MetricsLog::write(const Progress& progress, const std::string& split, const Numbers& numbers,
                       const Numbers& system) {
  Value row = Value::Table{};
  for (const auto& [key, number] : system) row["system"][key] = number;
  append(progress, split, std::move(row), numbers);
  ++num_lines_;
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
    static_cast<void>(truncate_file(file_.get(), whole));
    throw;
  }
}

}  // namespace pergola::host
