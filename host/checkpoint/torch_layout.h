// SPDX-License-Identifier: BSD-3-Clause
// Where the weights are in a file of torch.save. Not thread-safe.
#pragma once

#include "host/checkpoint/input_file.h"
#include "host/checkpoint/weights.h"

#include <filesystem>

namespace pergola::host {

// Whether the content begins as one of PyTorch's containers does.
[[nodiscard]] bool is_torch_file(const InputFile& file);

// Throws Error{kCheckpoint} as open_weights does.
[[nodiscard]] WeightsFile open_torch_weights(const std::filesystem::path& path);

}  // namespace pergola::host
