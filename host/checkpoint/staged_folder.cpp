// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/staged_folder.h"

#include "host/support/file_ops.h"
#include "host/support/files.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStagedPrefix = ".tmp-";  // being written, or already replaced
constexpr std::string_view kAsidePrefix = ".old-";   // moved out of the way of the new one

fs::path sibling(const fs::path& folder, std::string_view prefix) {
  return parent_of(folder) / concat(prefix, folder.filename().string(), "-", ::getpid());
}

// An entry "<prefix><name>-<pid>" of a folder's parent.
struct Leftover {
  fs::path path;
  std::string name;
  pid_t writer = 0;
};

std::optional<Leftover> parse_leftover(const fs::path& path, std::string_view prefix) {
  const std::string entry = path.filename().string();
  const std::size_t dash = entry.rfind('-');
  if (!entry.starts_with(prefix) || dash < prefix.size()) return std::nullopt;
  Leftover leftover{path, entry.substr(prefix.size(), dash - prefix.size())};
  const char* end = entry.data() + entry.size();
  const auto parsed = std::from_chars(entry.data() + dash + 1, end, leftover.writer);
  if (parsed.ec != std::errc() || parsed.ptr != end || leftover.writer <= 0) return std::nullopt;
  return leftover;
}

std::vector<Leftover> leftovers(const fs::path& parent, std::string_view prefix,
                                std::error_code& error) {
  std::vector<Leftover> found;
  fs::directory_iterator it(parent, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    if (auto leftover = parse_leftover(it->path(), prefix)) found.push_back(std::move(*leftover));
  }
  return found;
}

void warn_if(const std::error_code& error, const char* action, const fs::path& folder) {
  if (!error) return;
  log::warning("[checkpoint] cannot ", action, " ", folder.string(), ": ", error.message(),
               "; do it by hand");
}

void delete_or_warn(const fs::path& folder) { warn_if(remove_tree(folder), "remove", folder); }

void rename_folder(const fs::path& from, const fs::path& to) {
  if (const auto error = rename_path(from, to)) {
    throw file_error(ErrorKind::kCheckpoint, "put the checkpoint at", to, error.value());
  }
}

// False when the file system has no such operation.
bool exchange_folders(const fs::path& a, const fs::path& b) {
  const auto error = exchange_paths(a, b);
  if (!error) return true;
  if (error.value() == EINVAL || error.value() == ENOSYS || error.value() == EOPNOTSUPP) {
    return false;
  }
  throw file_error(ErrorKind::kCheckpoint, "replace the checkpoint", b, error.value());
}

// Is what the names in `parent` lead to sure to be so on the disk? What carries a temporary name
// here may there still carry the final one, and must not be emptied before.
bool sync_or_warn(const fs::path& parent) {
  try {
    sync_directory(parent);
    return true;
  } catch (const Error& error) {
    log::warning("[checkpoint] ", error.what(), "; what earlier saves left there stays");
    return false;
  }
}

enum class Names { kSynced, kMaybeNotSynced };

void recover(const fs::path& parent, const std::function<bool(const std::string& name)>& owns,
             Names names) {
  std::error_code error;
  for (const auto prefix : {kStagedPrefix, kAsidePrefix}) {
    for (const auto& [path, name, writer] : leftovers(parent, prefix, error)) {
      if (!owns(name) || is_other_live_process(writer)) continue;
      if (prefix == kAsidePrefix && !fs::exists(parent / name, error)) {
        warn_if(rename_path(path, parent / name), "put back", path);
        names = Names::kMaybeNotSynced;
        continue;
      }
      if (names == Names::kMaybeNotSynced && !sync_or_warn(parent)) return;
      names = Names::kSynced;
      delete_or_warn(path);
    }
  }
}

}  // namespace

std::optional<fs::path> find_folder(const fs::path& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) == 0) return folder;
  if (errno != ENOENT) throw file_error(ErrorKind::kCheckpoint, "read", folder, errno);
  std::error_code error;
  const fs::path parent = parent_of(folder);
  const auto aside = leftovers(parent, kAsidePrefix, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    throw file_error(ErrorKind::kCheckpoint, "read", parent, error.value());
  }
  const auto it = std::ranges::find(aside, folder.filename().string(), &Leftover::name);
  if (it == aside.end()) return std::nullopt;
  return it->path;
}

fs::path present_folder(const fs::path& folder) { return find_folder(folder).value_or(folder); }

void recover_folders(const fs::path& parent,
                     const std::function<bool(const std::string& name)>& owns) {
  recover(parent, owns, Names::kMaybeNotSynced);
}

void discard_folder(const fs::path& folder) {
  const fs::path hidden = sibling(folder, kStagedPrefix);
  if (const auto error = rename_path(folder, hidden)) {
    throw file_error(ErrorKind::kCheckpoint, "remove the checkpoint", folder, error.value());
  }
  sync_directory(parent_of(folder));
  delete_or_warn(hidden);
}

StagedFolder::StagedFolder(const fs::path& target, const SaveHooks& hooks)
    : target_(target.has_filename() ? target : target.parent_path()),  // "runs/x/" is "runs/x"
      staged_(sibling(target_, kStagedPrefix)),
      hooks_(hooks) {
  std::error_code error;
  if (fs::exists(target_, error) && !fs::is_directory(target_, error)) {
    throw Error(ErrorKind::kCheckpoint, "cannot save the checkpoint ", target_.string(),
                ": a file of this name is there, expected a folder or nothing; move it away");
  }
  make_directories(parent_of(target_));
  recover_folders(parent_of(target_), [this](const std::string& name) { return is_own(name); });
  if (const auto failed = make_folder(staged_)) {
    throw file_error(ErrorKind::kCheckpoint, "make the folder", staged_, failed.value());
  }
  hooks_.reached("folder made");
}

StagedFolder::~StagedFolder() {
  if (!published_) delete_or_warn(staged_);
}

bool StagedFolder::is_own(const std::string& name) const { return name == target_.filename(); }

void StagedFolder::replace_target() {
  std::error_code error;
  if (!fs::exists(target_, error)) {
    rename_folder(staged_, target_);
  } else if (!hooks_.allow_exchange || !exchange_folders(staged_, target_)) {
    const fs::path aside = sibling(target_, kAsidePrefix);
    rename_folder(target_, aside);
    hooks_.reached("old folder moved aside");
    try {
      rename_folder(staged_, target_);
    } catch (const Error&) {
      warn_if(rename_path(aside, target_), "put back", aside);
      throw;
    }
  }
  // From here on the staged name is the old folder's, or nobody's.
  published_ = true;
}

void StagedFolder::publish() {
  PERGOLA_ASSERT(!published_);
  const fs::path parent = parent_of(target_);
  sync_directory(staged_);
  hooks_.reached("folder synced");
  std::error_code error;
  const bool is_new = !fs::exists(target_, error);
  replace_target();
  hooks_.reached("folder in place");
  sync_directory(parent);
  // When it is the first one there, a process that died may have made `parent` and not synced it.
  if (is_new) sync_name(parent);
  hooks_.reached("place synced");
  recover(
      parent, [this](const std::string& name) { return is_own(name); }, Names::kSynced);
  hooks_.reached("old folder removed");
}

}  // namespace pergola::host
