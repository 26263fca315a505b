// SPDX-License-Identifier: BSD-3-Clause
// The state of the git repository that a run was started in, for its checkpoints
// (checkpoint.save_git_details). git itself is asked. No LibTorch here.
#pragma once

#include "pergola/value.h"

#include <filesystem>

namespace pergola::host {

// {"branch", "commit_hash", "commit_author", "commit_message", "diff"} of the repository that
// `folder` is in (MMF.md §7.3); "diff" is what differs from the commit, at most 256 KiB of it. An
// empty table where there is no repository, no commit or no git, or it does not answer in time;
// without "branch" where none is checked out.
[[nodiscard]] Value git_details(const std::filesystem::path& folder);

}  // namespace pergola::host
