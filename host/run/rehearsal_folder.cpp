// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/rehearsal_folder.h"

#include "host/support/files.h"
#include "host/support/log.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

namespace pergola::host {

void log_rehearsal(std::int64_t batches) {
  log::info("[run] training.fast_dev_run: a rehearsal with ", batches,
            batches == 1 ? " batch" : " batches", " of each split; nothing of it is kept");
}

RehearsalFolder::RehearsalFolder() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) {
    throw Error(ErrorKind::kCheckpoint, "there is no folder for temporary files, in which ",
                "training.fast_dev_run rehearses the run: ", error.message(),
                "; set the variable TMPDIR to a folder that can be written");
  }
  // The system's call replaces the last six characters.
  std::string name = (parent / concat("pergola-", std::string(6, 'X'))).string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw file_error(ErrorKind::kCheckpoint, "make a folder in", parent, errno);
  }
  path_ = name;
}

RehearsalFolder::~RehearsalFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace pergola::host
