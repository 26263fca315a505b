// SPDX-License-Identifier: BSD-3-Clause
// Named tensors in a safetensors file, the format of Hugging Face that Python, Rust and others read
// (host/docs/checkpoint_format.md has the bytes). Tensors that are read own their memory: nothing
// that happens to the file afterwards can reach them. No state; thread-safe.
#pragma once

#include "host/checkpoint/digest.h"
#include "host/checkpoint/safetensors_header.h"
#include "pergola/state_dict.h"

#include <filesystem>

namespace pergola::host {

// Writes `state` to an open, empty file and returns what was written. Tensors of a GPU and those
// that are not contiguous are copied one at a time, others not at all. Two tensors that share
// memory are written twice. `path` is for messages. Throws Error{kCheckpoint} when the format
// cannot hold a tensor or the system refuses the bytes.
FileDigest stream_safetensors(int fd, const StateDict& state, const SafetensorsMetadata& metadata,
                              const std::filesystem::path& path);

// The same to a file, in one step: another file at `path` is replaced by the whole new one, which
// is on the disk when this returns, or not at all.
FileDigest write_safetensors(const std::filesystem::path& path, const StateDict& state,
                             const SafetensorsMetadata& metadata = {});

// The size of the file that `state` makes.
[[nodiscard]] std::uint64_t safetensors_size(const StateDict& state,
                                             const SafetensorsMetadata& metadata,
                                             const std::filesystem::path& path);

// The header alone, without the data.
[[nodiscard]] SafetensorsHeader read_safetensors_header(const std::filesystem::path& path);

// All tensors, on the CPU, in the order of the file.
// Throws Error{kCheckpoint} for a file that cannot be read or is not as the format says.
[[nodiscard]] StateDict read_safetensors(const std::filesystem::path& path);

}  // namespace pergola::host
