// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/event_file.h"

#include "host/support/file_ops.h"
#include "host/support/log.h"
#include "host/train/event_message.h"
#include "host/train/event_record.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFilePrefix = "events.out.tfevents.";

// All event files of the folder, in the order in which TensorBoard reads them: that of their names.
std::vector<fs::path> event_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code failed;
  if (!fs::exists(folder, failed)) return files;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    if (entry->path().filename().string().starts_with(kFilePrefix)) files.push_back(entry->path());
  }
  if (failed) throw file_error(ErrorKind::kCheckpoint, "read", folder, failed.value());
  std::sort(files.begin(), files.end());
  return files;
}

std::int64_t time_in_name(const fs::path& file) {
  const std::string name = file.filename().string();
  std::int64_t seconds = 0;
  std::from_chars(name.data() + kFilePrefix.size(), name.data() + name.size(), seconds);
  return seconds;
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof(name) - 1) != 0) return "unknown";
  std::string result = name;
  std::replace(result.begin(), result.end(), '/', '_');
  return result.empty() ? "unknown" : result;
}

fs::path new_file(const fs::path& folder, double time) {
  auto seconds = static_cast<std::int64_t>(time);
  for (const fs::path& file : event_files(folder)) {
    seconds = std::max(seconds, time_in_name(file) + 1);
  }
  char digits[32];
  std::snprintf(digits, sizeof(digits), "%010lld", static_cast<long long>(seconds));
  return folder / concat(kFilePrefix, digits, ".", host_name(), ".", ::getpid());
}

// Adds the tags of one file's points to `kept`, up to the first one that does not stay; returns
// where that begins, or 0 when no point stays.
std::uint64_t kept_bytes(RecordReader& reader, std::int64_t last_update,
                         const std::function<bool(std::string_view)>& is_final, KeptEvents& kept) {
  std::uint64_t end = 0;
  bool has_points = false;
  while (const auto record = reader.next()) {
    const auto event = read_event_head(*record);
    if (!event) break;
    const bool later = !event->tags.empty() && event->step > last_update;
    if (later || std::ranges::any_of(event->tags, is_final)) break;
    for (const std::string& tag : event->tags) {
      kept.tags.insert(tag);
      if (event->step == last_update) kept.newest.insert(tag);
      has_points = true;
    }
    end = reader.offset();
  }
  return has_points ? end : 0;
}

void cut_off(const fs::path& file, std::uint64_t size) {
  const UniqueFd fd(open_path(file, O_WRONLY));
  if (!fd) throw file_error(ErrorKind::kCheckpoint, "write", file, errno);
  if (const auto error = truncate_file(fd.get(), static_cast<off_t>(size))) {
    throw file_error(ErrorKind::kCheckpoint, "shorten", file, error.value());
  }
  sync_fd(fd.get(), file);
}

void trim(const fs::path& file, std::int64_t last_update,
          const std::function<bool(std::string_view)>& is_final, KeptEvents& kept) {
  RecordReader reader(file);
  const std::uint64_t end = kept_bytes(reader, last_update, is_final, kept);
  if (reader.damaged()) {
    log::warning("[tensorboard] ", file.string(), " is damaged at byte ", reader.offset(),
                 "; points after that are lost, metrics.jsonl may have them");
  }
  if (end == reader.file_size()) return;
  if (end > 0) return cut_off(file, end);
  if (const auto error = remove_file(file)) {
    throw file_error(ErrorKind::kCheckpoint, "remove", file, error.value());
  }
}

}  // namespace

EventFile::EventFile(const fs::path& folder, double time) {
  make_directories(folder);
  path_ = new_file(folder, time);
  file_ = UniqueFd(open_path(path_, O_WRONLY | O_CREAT | O_EXCL | O_APPEND));
  if (!file_) throw file_error(ErrorKind::kCheckpoint, "write", path_, errno);
  sync_name(path_);
  write(encode_file_version(time));
}

void EventFile::write(std::string_view event) {
  if (torn_) drop_torn_record();
  const std::string record = frame_record(event);
  try {
    write_all(file_.get(), record, path_);
  } catch (const Error& error) {
    torn_ = true;
    try {
      drop_torn_record();
    } catch (const Error&) {  // the next call tries it again; the first reason is the one to tell
    }
    throw error;
  }
  size_ += static_cast<std::int64_t>(record.size());
}

void EventFile::drop_torn_record() {
  if (const auto error = truncate_file(file_.get(), size_)) {
    throw file_error(ErrorKind::kCheckpoint, "shorten", path_, error.value());
  }
  torn_ = false;
}

void EventFile::sync() const { sync_fd(file_.get(), path_); }

KeptEvents trim_event_files(const fs::path& folder, std::int64_t last_update,
                            const std::function<bool(std::string_view tag)>& is_final) {
  KeptEvents kept;
  for (const fs::path& file : event_files(folder)) trim(file, last_update, is_final, kept);
  return kept;
}

}  // namespace pergola::host
