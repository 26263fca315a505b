// SPDX-License-Identifier: BSD-3-Clause
// The state of the git repository that a run was started in, for its checkpoints
// (checkpoint.save_git_details). No program is run. No LibTorch here.
#pragma once

#include "pergola/value.h"

#include <filesystem>

namespace pergola::host {

// {"branch", "commit_hash"} of the repository that `folder` is in, work trees included; an empty
// table where there is none, or it cannot be read; without "branch" where none is checked out.
[[nodiscard]] Value git_details(const std::filesystem::path& folder);

}  // namespace pergola::host
