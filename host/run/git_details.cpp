// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/git_details.h"

#include "host/support/files.h"

#include <sstream>
#include <string>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostBytes = 16'000'000;  // of packed-refs; others have a line

// The file without the white space at its end; "" when it cannot be read.
std::string text_of(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return "";
  std::string text = read_file(file, ErrorKind::kCheckpoint, kMostBytes);
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

// What follows `prefix` in `text`; "" when it begins otherwise.
std::string after(const std::string& text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : "";
}

// The folder of git's own files: `.git`, or where the file `.git` of a work tree points.
fs::path find_git(fs::path folder) {
  for (std::error_code error;; folder = folder.parent_path()) {
    const fs::path git = folder / ".git";
    if (fs::is_directory(git, error)) return git;
    if (fs::is_regular_file(git, error)) return folder / after(text_of(git), "gitdir: ");
    if (folder == folder.parent_path()) return {};
  }
}

// The commit that a name such as refs/heads/main stands for.
std::string commit_of(const fs::path& git, const std::string& ref) {
  const std::string common = text_of(git / "commondir");  // of a work tree
  const fs::path shared = common.empty() ? git : git / common;
  if (std::string commit = text_of(shared / ref); !commit.empty()) return commit;
  std::istringstream packed(text_of(shared / "packed-refs"));
  for (std::string line; std::getline(packed, line);) {
    if (line.ends_with(" " + ref)) return line.substr(0, line.find(' '));
  }
  return "";
}

}  // namespace

Value git_details(const fs::path& folder) {
  Value details{Value::Table{}};
  try {
    const fs::path git = find_git(fs::absolute(folder));
    if (git.empty()) return details;
    const std::string head = text_of(git / "HEAD");
    const std::string ref = after(head, "ref: ");
    const std::string commit = ref.empty() ? head : commit_of(git, ref);
    if (!ref.empty()) details["branch"] = after(ref, "refs/heads/");
    if (!commit.empty()) details["commit_hash"] = commit;
  } catch (const std::exception&) {  // it says nothing about the run
  }
  return details;
}

}  // namespace pergola::host
