// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/output_file.h"

#include "host/support/files.h"
#include "host/support/printable.h"

#include <cerrno>
#include <system_error>

namespace pergola::host {
namespace fs = std::filesystem;
namespace {

fs::path behind_links(const fs::path& output, const OutputKind& kind) {
  constexpr int kMostLinks = 40;  // as the kernel
  fs::path path = output;
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(path, error)); ++links) {
    // As /dev/stdout: what is open may have other content, or no name any more.
    const bool is_open_file =
        fs::canonical(path.parent_path(), error).string().starts_with("/proc/");
    if (is_open_file) {
      throw unfit_output(output, "it stands for a file that a process has open", kind);
    }
    const fs::path next = fs::read_symlink(path, error);
    if (error || links == kMostLinks) {
      throw file_error(kind.error, "write", output, error ? error.value() : ELOOP);
    }
    path = path.parent_path() / next;
  }
  return path;
}

}  // namespace

Error unfit_output(const fs::path& path, const std::string& why, const OutputKind& kind) {
  return Error(kind.error, "cannot write the report to ", printable(path.string()), ": ", why,
               "; name a file with --output, such as --output ", kind.example);
}

void expect_replaceable(const fs::path& path, const OutputKind& kind) {
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(path, ignored);
  if (fs::is_directory(status)) throw unfit_output(path, "it is a folder", kind);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    throw unfit_output(path, "it is a pipe or a device, and no regular file", kind);
  }
}

fs::path output_file(const fs::path& given, const OutputKind& kind) {
  if (given == "-") {
    throw unfit_output(given, "the report goes to a file, and not to the standard output", kind);
  }
  fs::path path = behind_links(given, kind);
  expect_replaceable(path, kind);
  std::error_code ignored;
  const fs::path folder = path.parent_path();
  if (!folder.empty() && !fs::is_directory(folder, ignored)) {
    throw unfit_output(path, concat("there is no folder ", printable(folder.string())), kind);
  }
  return path;
}

}  // namespace pergola::host
