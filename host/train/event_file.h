// SPDX-License-Identifier: BSD-3-Clause
// TensorBoard's event files of a run, in a folder of their own. A file is appended to by one
// process; a run that is resumed takes back what the old files have beyond its checkpoint and goes
// on in a new one. Training thread, but for sync(). No LibTorch here.
#pragma once

#include "host/support/files.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace pergola::host {

class EventFile {
 public:
  // Makes the folder and in it events.out.tfevents.<time>.<host>.<pid>, which begins with the file
  // version. `time` is seconds since 1970; the name has a later one where that is needed to come
  // after the names of all files that are there, since TensorBoard reads them in that order. Throws
  // Error{kCheckpoint}.
  EventFile(const std::filesystem::path& folder, double time);

  // Appends one Event (event_message.h). Throws Error{kCheckpoint}; what was written of it is taken
  // back, and the next call may succeed.
  void write(std::string_view event);

  // Brings all events so far to the disk. Any thread, while another one writes. Throws
  // Error{kCheckpoint}.
  void sync() const;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  void drop_torn_record();

  std::filesystem::path path_;
  UniqueFd file_;
  std::int64_t size_ = 0;  // of all whole records
  bool torn_ = false;      // a part of one is behind them
};

// The tags of the points that a resumed run keeps.
struct KeptEvents {
  std::set<std::string, std::less<>> tags;
  std::set<std::string, std::less<>> newest;  // of those at `last_update` alone
};

// Readies the folder for a run that goes on after `last_update`: cuts each file off before its
// first point of a later update, or of a tag that `is_final` names, which come after training; and
// removes those without any other. A record that a kill or a power cut tore goes too. Before the
// first update, -1 removes all files. Nothing happens without a folder. Throws Error{kCheckpoint}
// when a file cannot be read or cut; those before it are done.
KeptEvents trim_event_files(const std::filesystem::path& folder, std::int64_t last_update,
                            const std::function<bool(std::string_view tag)>& is_final);

}  // namespace pergola::host
