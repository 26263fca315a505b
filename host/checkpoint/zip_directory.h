// SPDX-License-Identifier: BSD-3-Clause
// The list of records in a ZIP file, as PyTorch writes it: stored and not compressed, in one piece,
// with 64-bit sizes where they are needed. No state; thread-safe.
#pragma once

#include "host/checkpoint/input_file.h"

#include <cstdint>
#include <map>
#include <string>

namespace pergola::host {

struct ZipRecord {
  std::uint64_t begin = 0;  // of its bytes in the file
  std::uint64_t size = 0;
  std::uint32_t crc = 0;  // 0 as well when PyTorch was told to compute none
};

using ZipDirectory = std::map<std::string, ZipRecord>;

// The records by name, folders left out. They lie in the file, before the directory, and no two
// share a byte. Throws Error{kCheckpoint} for a file that is not so, and for records that are
// compressed or encrypted.
[[nodiscard]] ZipDirectory read_zip_directory(const InputFile& file);

}  // namespace pergola::host
