// SPDX-License-Identifier: BSD-3-Clause
// Where a training begins (MMF.md §7.3): at the checkpoint of its own folder, or at another one
// that the config names. Main thread.
#pragma once

#include "host/checkpoint/store.h"
#include "host/config/run_config.h"

#include <optional>

namespace pergola::host {

// The checkpoint that a run in the folder of `store` goes on from; nothing when it begins anew. Of
// a run that is resumed that is the newest one, or `best` with checkpoint.resume_best, each with a
// warning when it has to make do with the other. Else it is checkpoint.resume_file, and in a run's
// folder the one with which that run would be resumed; nothing where it is not one of Pergola.
// Throws Error{kCheckpoint} as CheckpointStore does, and where resume_file is damaged or is not
// there.
[[nodiscard]] std::optional<ResumePoint> find_beginning(const CheckpointConfig& config,
                                                        const CheckpointStore& store, bool resume);

// `path`, which is checkpoint.resume_file. Throws Error{kCheckpoint} when nothing is there.
[[nodiscard]] const std::filesystem::path& existing_resume_file(const std::filesystem::path& path);

}  // namespace pergola::host
