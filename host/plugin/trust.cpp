// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/trust.h"

#include "host/support/files.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kEntrySize = 16384;  // of a user or group with its names

std::string user_name(uid_t id) {
  std::vector<char> buffer(kEntrySize);
  passwd entry{};
  passwd* found = nullptr;
  ::getpwuid_r(id, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? concat("user ", id) : printable(found->pw_name);
}

struct Group {
  std::string name;
  std::vector<std::string> members;
};

std::optional<Group> group_of(gid_t id) {
  std::vector<char> buffer(kEntrySize);
  group entry{};
  group* found = nullptr;
  ::getgrgid_r(id, &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return std::nullopt;
  Group group{found->gr_name, {}};
  for (char** member = found->gr_mem; *member != nullptr; ++member) {
    group.members.emplace_back(*member);
  }
  return group;
}

// The group that many distributions give each user, who is alone in it: with their umask of 0002
// all that somebody builds can be written by that group.
bool is_own_group(gid_t id) {
  const std::optional<Group> group = group_of(id);
  const std::string user = user_name(::geteuid());
  if (!group || group->name != user) return false;
  for (const std::string& member : group->members) {
    if (member != user) return false;
  }
  return true;
}

std::string octal(mode_t mode) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode & 07777U));
  return text.data();
}

std::string describe_failure(const fs::path& path) {
  return concat(printable(path.string()), " cannot be looked at: ", describe_errno(errno));
}

// Who else can write what is at `path`, as the end of a sentence; "" when nobody can. In a sticky
// folder, such as /tmp, a name belongs to who made it.
std::string others_who_write(const fs::path& path, const struct stat& status) {
  const std::string name = printable(path.string());
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    return concat(name, " belongs to ", user_name(status.st_uid));
  }
  const bool is_sticky = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
  if (is_sticky) return "";
  if ((status.st_mode & S_IWOTH) != 0) {
    return concat("anybody can write to ", name, " (mode ", octal(status.st_mode), ")");
  }
  if ((status.st_mode & S_IWGRP) != 0 && !is_own_group(status.st_gid)) {
    const std::optional<Group> group = group_of(status.st_gid);
    return concat("group ", group ? printable(group->name) : std::to_string(status.st_gid),
                  " can write to ", name, " (mode ", octal(status.st_mode), ")");
  }
  return "";
}

// The same of a file and of all folders above it. `real` is its path without symbolic links.
std::string others_who_write_way(const fs::path& real, struct stat status) {
  std::string problem = others_who_write(real, status);
  for (fs::path folder = real.parent_path(); problem.empty(); folder = folder.parent_path()) {
    if (::stat(folder.c_str(), &status) != 0) return describe_failure(folder);
    problem = others_who_write(folder, status);
    if (folder == folder.parent_path()) break;
  }
  return problem;
}

std::string others_who_write(const ElfFile& file) {
  const fs::path real = file.real_path();
  if (real.empty()) return "its path cannot be found any more";
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) return describe_failure(real);
  return others_who_write_way(real, status);
}

std::string not_locked(const ElfFile& file, const std::string& name, const TrustPolicy& policy) {
  const std::string sha256 = file.sha256();
  const LockedPlugin* locked = policy.lock.find(name);
  if (locked != nullptr && locked->sha256 == sha256) return "";
  const std::string what =
      locked == nullptr ? concat("no plugin '", printable(name), "' is in it")
                        : concat("it has '", name, "' ", printable(locked->version),
                                 " with SHA-256 ", locked->sha256, ", and this file has ", sha256);
  return concat("is not the one in the lock file ", printable(policy.lock_file), ": ", what,
                "; look where it comes from, and then accept it with `pergola plugins trust ",
                printable(file.path().string()), " --lock-file ", printable(policy.lock_file), "`");
}

}  // namespace

std::string others_who_write(const fs::path& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) return concat(printable(path.string()), " cannot be looked at: ", error.message());
  struct stat status {};
  if (::stat(real.c_str(), &status) != 0) return describe_failure(real);
  return others_who_write_way(real, status);
}

TrustPolicy locked_policy(const fs::path& lock_file) {
  PluginLock lock = PluginLock::read(lock_file);
  // Who writes it says what is loaded.
  if (const std::string others = others_who_write(lock_file); !others.empty()) {
    throw Error(ErrorKind::kPlugin, "the lock file ", printable(lock_file.string()),
                " is not trusted, since others than you and root could change it: ", others,
                "; take their right away (chmod go-w), or copy it into a folder of your own");
  }
  return {Trust::kLocked, std::move(lock), lock_file.string()};
}

std::string distrust(const ElfFile& file, const std::string& name, const TrustPolicy& policy) {
  if (policy.trust == Trust::kAny) return "";
  const std::string plugin = concat("plugin ", printable(file.path().string()), " ");
  if (policy.trust == Trust::kLocked) {
    const std::string problem = not_locked(file, name, policy);
    return problem.empty() ? "" : plugin + problem;
  }
  const std::string problem = others_who_write(file);
  if (problem.empty()) return "";
  return concat(plugin, "is not trusted, since others than you and root could change it: ", problem,
                "; take their right away (chmod go-w), copy it into a folder of your own, or pin "
                "its content with `pergola plugins trust` and plugins.trust = \"locked\"");
}

}  // namespace pergola::host
