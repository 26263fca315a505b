// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/data_folder.h"

#include "host/support/printable.h"
#include "pergola/error.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

const char* fault_of(const std::string& name) {
  if (name.empty()) return "is empty";
  const bool control =
      std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (control) return "has a control character in it";
  const fs::path path(name);
  if (path.is_absolute()) return "is absolute";
  if (std::find(path.begin(), path.end(), "..") != path.end()) return "has '..' in it";
  return nullptr;
}

bool is_below(const fs::path& file, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first ==
         folder.end();
}

}  // namespace

DataFolder::DataFolder(const fs::path& folder, std::string key) : key_(std::move(key)) {
  std::error_code error;
  folder_ = fs::canonical(folder, error);
  if (!error && fs::is_directory(folder_, error)) return;
  throw Error(ErrorKind::kData, "there is no folder ", folder.string(), "; set ", key_,
              " to where the files are");
}

fs::path DataFolder::find(const std::string& name) const {
  if (const char* const fault = fault_of(name)) {
    throw Error(ErrorKind::kData, "the path '", printable(name), "' ", fault,
                ", expected one inside of ", folder_.string(), "; correct the row, or set ", key_);
  }
  const fs::path named = folder_ / name;
  std::error_code error;
  fs::path file = fs::canonical(named, error);
  if (error == std::errc::no_such_file_or_directory) {
    throw Error(ErrorKind::kData, "there is no file ", named.string(),
                "; restore it, remove the row, or set ", key_, " to where the files are");
  }
  if (error) {
    throw Error(ErrorKind::kData, "cannot find ", named.string(), ": ", error.message(),
                "; look at the file, or correct the row");
  }
  if (!is_below(file, folder_)) {
    throw Error(ErrorKind::kData, "the path '", name, "' leads to ", file.string(),
                ", expected a file inside of ", folder_.string(),
                "; put the file there in place of the link, or set ", key_);
  }
  return file;
}

}  // namespace pergola::host
