// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/git_details.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>

namespace pergola::host {
namespace {

constexpr std::size_t kMostBytes = 256UL * 1024;

// `text` as one word of the shell.
std::string quoted(const std::string& text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

// What git prints, as much of it as is kept; "" when it fails. It takes no lock, waits for nothing
// and runs no program that the repository names.
std::string ask_git(const std::filesystem::path& folder, const std::string& arguments) {
  const std::string command = "GIT_OPTIONAL_LOCKS=0 timeout 10 git -C " + quoted(folder.string()) +
                              " -c core.fsmonitor=false " + arguments + " 2>/dev/null </dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "re"), &::pclose);
  if (!pipe) return "";
  std::string text;
  std::array<char, 4096> buffer;
  for (std::size_t count; (count = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;) {
    text.append(buffer.data(), std::min(count, kMostBytes - text.size()));
  }
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

}  // namespace

Value git_details(const std::filesystem::path& folder) {
  Value details{Value::Table{}};
  const std::string commit = ask_git(folder, "rev-parse --verify --quiet HEAD");
  if (commit.empty()) return details;
  details["commit_hash"] = commit;
  if (std::string branch = ask_git(folder, "symbolic-ref --short --quiet HEAD"); !branch.empty()) {
    details["branch"] = std::move(branch);
  }
  details["commit_author"] = ask_git(folder, "log -1 --no-show-signature --format=%an");
  details["commit_message"] = ask_git(folder, "log -1 --no-show-signature --format=%B");
  details["diff"] = ask_git(folder, "diff --no-color --no-ext-diff --no-textconv HEAD");
  return details;
}

}  // namespace pergola::host
