// SPDX-License-Identifier: BSD-3-Clause
// The weights of one model in several files: a folder with an index of which name is in which file,
// as Hugging Face writes it. No state; thread-safe.
#pragma once

#include "host/checkpoint/weights.h"

#include <filesystem>
#include <functional>
#include <string>

namespace pergola::host {

// `open` opens one of the files. Throws Error{kCheckpoint} when the index is not sound, names a
// file that is not in the folder itself, or does not fit what the files hold.
[[nodiscard]] WeightsFile open_sharded(
    const std::filesystem::path& folder, const std::string& index,
    const std::function<WeightsFile(const std::filesystem::path&)>& open);

}  // namespace pergola::host
