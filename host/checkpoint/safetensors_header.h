// SPDX-License-Identifier: BSD-3-Clause
// The header of a safetensors file, as text and as values. Both directions check everything that
// the format promises, so that the reader of the data needs no checks of its own. Thread-safe.
#pragma once

#include "pergola/state_dict.h"

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

using SafetensorsMetadata = std::map<std::string, std::string>;

struct TensorEntry {
  std::string name;
  at::ScalarType dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // the bytes [begin, end) of the data section
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // in the order of their data, without gaps
  SafetensorsMetadata metadata;
};

// A file begins with the length of the JSON text in this many bytes, little-endian.
inline constexpr std::uint64_t kHeaderLengthBytes = 8;
// The format's own limit for that length.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

// The entries of `state` in the order of the reference implementation: widest dtype first, so that
// each tensor is aligned, then by name. `where` is the file, for messages.
// Throws Error{kCheckpoint}: a name twice, a reserved name, a tensor that the format cannot hold.
[[nodiscard]] SafetensorsHeader layout_tensors(const StateDict& state,
                                               const SafetensorsMetadata& metadata,
                                               const std::string& where);

// The length and the JSON text, padded with spaces to a multiple of 8 bytes.
// Throws Error{kCheckpoint} when a name is not UTF-8 or the text is too long.
[[nodiscard]] std::string encode_header(const SafetensorsHeader& header, const std::string& where);

// The values of a JSON text that is followed by `data_bytes` bytes of data.
// Throws Error{kCheckpoint} when anything in it is not as the format says.
[[nodiscard]] SafetensorsHeader decode_header(std::string_view json, std::uint64_t data_bytes,
                                              const std::string& where);

}  // namespace pergola::host
