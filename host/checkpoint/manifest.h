// SPDX-License-Identifier: BSD-3-Clause
// MANIFEST.json: size and hash of the other files of a checkpoint. It is written last, so a folder
// that has it was written to its end. Plain values; thread-safe.
#pragma once

#include "host/checkpoint/digest.h"
#include "host/checkpoint/names.h"
#include "pergola/value.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace pergola::host {

inline constexpr std::int64_t kCheckpointFormatVersion = 1;

using Manifest = std::map<std::string, FileDigest>;

// The one text that says this: read_manifest takes no other.
[[nodiscard]] std::string encode_manifest(const Manifest& manifest);

// The manifest of `folder`; it lists exactly the three files.
// Throws Error{kCheckpoint} when it is missing, damaged (not byte for byte what encode_manifest
// writes) or of another format version.
[[nodiscard]] Manifest read_manifest(const std::filesystem::path& folder);

// A run's folder, or its checkpoints/, is taken for a checkpoint easily: throws Error{kCheckpoint}
// for such a one, naming a checkpoint in it.
void refuse_folder_of_checkpoints(const std::filesystem::path& folder);

// Throws Error{kCheckpoint} unless `table` (what `file` holds) is of the version that is read here.
void check_format_version(const Value& table, const std::filesystem::path& file);

}  // namespace pergola::host
