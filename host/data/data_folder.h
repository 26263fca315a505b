// SPDX-License-Identifier: BSD-3-Clause
// A folder with files that data name: no name leads out of it, whoever wrote the data. Constant;
// thread-safe.
#pragma once

#include <filesystem>
#include <string>

namespace pergola::host {

class DataFolder {
 public:
  // `key` of the config names the folder, for messages. Throws Error{kData} when it is not there.
  DataFolder(const std::filesystem::path& folder, std::string key);

  // The file of that name, without links. Throws Error{kData} for a name that is empty, absolute,
  // or has a `..` or a control character in it, for a file that is not there, and for one that a
  // symbolic link has elsewhere. The folder itself may be such a link.
  [[nodiscard]] std::filesystem::path find(const std::string& name) const;

 private:
  std::filesystem::path folder_;  // without links
  std::string key_;
};

}  // namespace pergola::host
