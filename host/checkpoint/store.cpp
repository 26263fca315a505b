// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/store.h"

#include "host/checkpoint/manifest.h"
#include "host/checkpoint/names.h"
#include "host/checkpoint/staged_folder.h"
#include "host/support/file_ops.h"
#include "host/support/files.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// Of "best" and "best_2", not of "best_02": a rank has one name.
std::optional<std::int64_t> best_rank(const std::string& name) {
  if (name == "best") return 1;
  const auto rank = number_after(kBestPrefix, name);
  return rank && *rank > 1 && name == concat(kBestPrefix, *rank) ? rank : std::nullopt;
}

bool is_checkpoint_name(const std::string& name) {
  return name == "last" || best_rank(name) || number_after(kUpdatePrefix, name);
}

// Some file systems have no hard links; the copy costs space, and the result is the same.
void link_or_copy(const fs::path& from, const fs::path& to) {
  const auto error = link_file(from, to);
  if (!error) return;
  if (error.value() == ENOENT) throw file_error(ErrorKind::kCheckpoint, "read", from, ENOENT);
  copy_synced(from, to);
}

// The names in `folder`, of which there are none when it is not there.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw file_error(ErrorKind::kCheckpoint, "read", folder, error.value());
  }
  return names;
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

CheckpointStore::CheckpointStore(const fs::path& run_dir, Retention retention, SaveHooks hooks)
    : root_(run_dir / "checkpoints"), retention_(retention), hooks_(std::move(hooks)) {}

fs::path CheckpointStore::best(std::int64_t rank) const {
  PERGOLA_ASSERT(rank >= 1);
  return root_ / (rank == 1 ? std::string("best") : concat(kBestPrefix, rank));
}

fs::path CheckpointStore::update(std::int64_t number) const {
  const std::string digits = std::to_string(number);
  constexpr std::size_t kDigits = 8;
  const std::size_t zeros = digits.size() < kDigits ? kDigits - digits.size() : 0;
  return root_ / concat(kUpdatePrefix, std::string(zeros, '0'), digits);
}

std::vector<std::pair<std::int64_t, fs::path>> CheckpointStore::updates() const {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  for (const std::string& name : names_in(root_)) {
    if (const auto number = number_after(kUpdatePrefix, name)) {
      found.emplace_back(*number, root_ / name);
    }
  }
  std::ranges::sort(found, std::greater());
  return found;
}

std::vector<std::string> CheckpointStore::names() const {
  std::vector<std::string> names = names_in(root_);
  std::erase_if(names, [](const std::string& name) { return !is_checkpoint_name(name); });
  std::ranges::sort(names);
  return names;
}

std::int64_t CheckpointStore::lowest_best() const {
  std::int64_t lowest = 0;
  for (const std::string& name : names_in(root_)) {
    lowest = std::max(lowest, best_rank(name).value_or(0));
  }
  return lowest;
}

void CheckpointStore::check_writable() const {
  std::error_code error;
  const bool is_new = !fs::exists(root_, error);
  for (const fs::path& folder : {last(), best()}) {
    check_replaceable(folder);
    static_cast<void>(StagedFolder(folder, hooks_));
  }
  tidy();
  if (is_new) static_cast<void>(remove_folder(root_));
}

// What a save that was killed left, of names too that are not saved again, such as those that
// retain() was removing.
void CheckpointStore::tidy() const { recover_folders(root_, is_checkpoint_name); }

void CheckpointStore::save_last(const CheckpointContent& content) const {
  tidy();
  save_checkpoint(last(), content, hooks_);
}

// A checkpoint never loses its last name: those that rise are linked from the top down, so that a
// rank is taken over after what was there has risen itself; those that fall, from the bottom up.
void CheckpointStore::arrange_best(const std::vector<std::int64_t>& sources) const {
  const auto count = static_cast<std::int64_t>(sources.size());
  const auto source = [&](std::int64_t rank) {
    return sources[static_cast<std::size_t>(rank - 1)];
  };
  for (std::int64_t rank = 1; rank <= count; ++rank) {
    if (source(rank) > rank) link(best(source(rank)), best(rank));
  }
  for (std::int64_t rank = count; rank >= 1; --rank) {
    if (source(rank) != kFromLast && source(rank) < rank) link(best(source(rank)), best(rank));
  }
  for (std::int64_t rank = 1; rank <= count; ++rank) {
    if (source(rank) == kFromLast) link(last(), best(rank));
  }
  for (const std::string& name : names_in(root_)) {
    if (best_rank(name).value_or(0) > count) discard_folder(root_ / name);
  }
}

bool CheckpointStore::stays(std::int64_t number) const {
  return retention_.keep_every > 0 && number % retention_.keep_every == 0;
}

void CheckpointStore::save_update(std::int64_t number) const {
  if (retention_.max_to_keep == 0 && !stays(number)) return;
  link(last(), update(number));
  if (retention_.max_to_keep >= 0) retain(number);
}

bool CheckpointStore::complete_update(std::int64_t number) const {
  if (retention_.max_to_keep == 0 && !stays(number)) return false;
  if (!find_folder(update(number))) {
    save_update(number);
    return true;
  }
  if (retention_.max_to_keep >= 0) retain(number);
  return false;
}

void CheckpointStore::resume_at(const fs::path& folder, std::int64_t number) const {
  if (folder != last()) link(folder, last());
  for (const auto& [later, other] : updates()) {
    if (later <= number) continue;
    log::info("[resume] removed ", other.string(), ", for the run goes on from update ", number);
    discard_folder(other);
    hooks_.reached("later checkpoint removed");
  }
}

void CheckpointStore::link(const fs::path& from, const fs::path& target) const {
  const fs::path source = present_folder(from);
  StagedFolder staged(target, hooks_);
  // The manifest comes last here too: a folder with one has all the files.
  for (const char* name : kCheckpointFiles) {
    link_or_copy(source / name, staged.path() / name);
    hooks_.reached(concat(name, " linked"));
  }
  staged.publish();
}

void CheckpointStore::retain(std::int64_t newest) const {
  std::int64_t kept = stays(newest) ? 0 : 1;  // the newest one itself, whatever its number
  for (const auto& [number, folder] : updates()) {
    if (number == newest || stays(number) || ++kept <= retention_.max_to_keep) continue;
    discard_folder(folder);
    hooks_.reached("older checkpoint removed");
  }
}

std::optional<ResumePoint> CheckpointStore::find_resume(const std::string& advice) const {
  std::vector<fs::path> candidates;
  if (find_folder(last())) candidates.push_back(last());
  for (const auto& [number, folder] : updates()) candidates.push_back(folder);
  if (candidates.empty()) {
    if (!find_folder(best())) return std::nullopt;
    throw Error(ErrorKind::kCheckpoint, "there is neither `last` nor an `update_*` in ",
                root_.string(), ", and a run goes on from one of these",
                advice.empty() ? next_step_without_resume({best()}) : advice);
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
              advice.empty() ? next_step_without_resume(candidates) : advice);
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

bool is_run_folder(const fs::path& path) {
  std::error_code error;
  return !fs::exists(path / kManifestFile, error) && fs::is_directory(path / "checkpoints", error);
}

fs::path checkpoint_at(const fs::path& path) {
  if (!is_run_folder(path)) return path;
  return CheckpointStore(path).find_weights().value_or(path);
}

}  // namespace pergola::host
