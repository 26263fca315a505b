// SPDX-License-Identifier: BSD-3-Clause
// Named tensors as a file of torch.save: the ZIP container around one pickle, which Python's
// torch.load(path, weights_only=True) reads as an OrderedDict. No state; thread-safe.
#pragma once

#include "host/checkpoint/digest.h"
#include "pergola/state_dict.h"

#include <filesystem>

namespace pergola::host {

// Writes `state` in its order, in one step: another file at `path` is replaced by the whole new
// one, which is on the disk when this returns, or not at all. Every dtype that TorchFile reads.
// Tensors are written row-major, without their graph; names for the very same values in memory,
// as tied weights are, share a storage there too, and all other views get one of their own. Those
// of a GPU and those that are not contiguous are copied one at a time, others not at all.
// Throws Error{kCheckpoint} for a name that is there twice or is not UTF-8, for a tensor that is
// undefined, sparse, quantized or without data, and when the system refuses the bytes.
FileDigest write_torch_file(const std::filesystem::path& path, const StateDict& state);

}  // namespace pergola::host
