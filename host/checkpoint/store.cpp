// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/store.h"

#include "host/checkpoint/manifest.h"
#include "host/checkpoint/staged_folder.h"
#include "host/support/files.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUpdatePrefix = "update_";

std::optional<std::int64_t> update_number(const std::string& name) {
  if (!name.starts_with(kUpdatePrefix)) return std::nullopt;
  std::int64_t number = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kUpdatePrefix.size(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 0) return std::nullopt;
  return number;
}

// Some file systems have no hard links; the copy costs space, and the result is the same.
void link_or_copy(const fs::path& from, const fs::path& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return;
  if (errno == ENOENT) throw file_error(ErrorKind::kCheckpoint, "read", from, ENOENT);
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) throw file_error(ErrorKind::kCheckpoint, "write", to, error.value());
  sync_file(to);
}

// What this user may not read may be whole: nothing to advise anybody to give up.
bool is_closed(const fs::path& folder) {
  const auto closed = [](const fs::path& path) {
    return ::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0 && errno == EACCES;
  };
  return closed(folder) || std::ranges::any_of(kCheckpointFiles, [&](const char* name) {
           return closed(folder / name);
         });
}

}  // namespace

CheckpointStore::CheckpointStore(const fs::path& run_dir, std::int64_t max_to_keep, SaveHooks hooks)
    : root_(run_dir / "checkpoints"), max_to_keep_(max_to_keep), hooks_(std::move(hooks)) {}

fs::path CheckpointStore::update(std::int64_t number) const {
  const std::string digits = std::to_string(number);
  constexpr std::size_t kDigits = 8;
  const std::size_t zeros = digits.size() < kDigits ? kDigits - digits.size() : 0;
  return root_ / concat(kUpdatePrefix, std::string(zeros, '0'), digits);
}

std::vector<std::pair<std::int64_t, fs::path>> CheckpointStore::updates() const {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  std::error_code error;
  fs::directory_iterator it(root_, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    if (const auto number = update_number(it->path().filename().string())) {
      found.emplace_back(*number, it->path());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw file_error(ErrorKind::kCheckpoint, "read", root_, error.value());
  }
  std::ranges::sort(found, std::greater());
  return found;
}

void CheckpointStore::check_writable() const {
  std::error_code error;
  const bool is_new = !fs::exists(root_, error);
  for (const fs::path& folder : {last(), best()}) {
    check_replaceable(folder);
    static_cast<void>(StagedFolder(folder, hooks_));
  }
  if (is_new) fs::remove(root_, error);
}

void CheckpointStore::save_last(const CheckpointContent& content) const {
  // Names that are not saved again, such as those that retain() was removing, are tidied here.
  recover_folders(root_, [](const std::string& name) {
    return name == "last" || name == "best" || update_number(name);
  });
  save_checkpoint(last(), content, hooks_);
}

void CheckpointStore::save_best() const { link_last(best()); }

void CheckpointStore::save_update(std::int64_t number) const {
  if (max_to_keep_ == 0) return;
  link_last(update(number));
  if (max_to_keep_ > 0) retain(number);
}

void CheckpointStore::link_last(const fs::path& target) const {
  const fs::path source = present_folder(last());
  StagedFolder staged(target, hooks_);
  // The manifest comes last here too: a folder with one has all the files.
  for (const char* name : kCheckpointFiles) {
    link_or_copy(source / name, staged.path() / name);
    hooks_.reached(concat(name, " linked"));
  }
  staged.publish();
}

void CheckpointStore::retain(std::int64_t newest) const {
  std::int64_t kept = 1;  // the newest one itself, whatever its number
  for (const auto& [number, folder] : updates()) {
    if (number == newest || ++kept <= max_to_keep_) continue;
    discard_folder(folder);
    hooks_.reached("older checkpoint removed");
  }
}

std::optional<ResumePoint> CheckpointStore::find_resume() const {
  std::vector<fs::path> candidates;
  if (find_folder(last())) candidates.push_back(last());
  for (const auto& [number, folder] : updates()) candidates.push_back(folder);
  if (candidates.empty()) {
    if (!find_folder(best())) return std::nullopt;
    throw Error(ErrorKind::kCheckpoint, "there is neither `last` nor an `update_*` in ",
                root_.string(), ", and a run goes on from one of these",
                next_step_without_resume({best()}));
  }

  ResumePoint point;
  for (const auto& folder : candidates) {
    try {
      point.content = load_checkpoint(folder);
      point.folder = folder;
      return point;
    } catch (const Error& failure) {
      log::warning("[checkpoint] passed over: ", failure.what());
      point.failures.emplace_back(failure.what());
    }
  }
  throw Error(ErrorKind::kCheckpoint, "none of the ", candidates.size(), " checkpoints in ",
              root_.string(), " can be used; the newest: ", point.failures.front(),
              next_step_without_resume(candidates));
}

// --overwrite would remove a `best` that is whole, and with it the only result of the run.
std::string CheckpointStore::next_step_without_resume(
    const std::vector<fs::path>& candidates) const {
  if (!verify_checkpoint(best()).ok()) {
    const bool closed = is_closed(best()) || std::ranges::any_of(candidates, is_closed);
    return closed ? "; overwrite nothing before that can be read"
                  : "; start again with --overwrite";
  }
  return concat("; ", best().string(), " is whole and is kept: evaluate it with `pergola test ",
                "CONFIG --checkpoint ", best().string(),
                "`, and train again in another folder with --run-dir");
}

std::optional<fs::path> CheckpointStore::find_weights() const {
  for (const fs::path& folder : {best(), last()}) {
    if (find_folder(folder)) return folder;
  }
  return std::nullopt;
}

fs::path checkpoint_at(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path / kManifestFile, error) || !fs::is_directory(path / "checkpoints", error)) {
    return path;
  }
  return CheckpointStore(path).find_weights().value_or(path);
}

}  // namespace pergola::host
