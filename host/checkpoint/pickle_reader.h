// SPDX-License-Identifier: BSD-3-Clause
// Reads a pickle that holds tensors and plain data, and runs nothing: the machine knows the
// operations that make such values (protocols 2 to 5), and calls nothing but what pickle_globals.h
// lists. Memory and time are bounded by the pickle's own size. Not thread-safe.
#pragma once

#include "host/checkpoint/input_file.h"
#include "host/checkpoint/pickle_value.h"

#include <cstdint>
#include <map>
#include <string>

namespace pergola::host {

// Bytes [begin, end) of a file that hold one pickle, or several.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// What all the tensors of a pickle are kept in, by key: how many bytes, and how wide an element.
struct PickledStorage {
  std::int64_t bytes = 0;
  std::int64_t width = 1;
};
using PickledStorages = std::map<std::string, PickledStorage>;

// Reads the pickle at the begin of `range` and moves `range.begin` behind it. The value is one of
// `values`, and the storages that it refers to are added to `storages`. Throws Error{kCheckpoint}
// for a pickle that is damaged, that is too large, or that holds anything else.
[[nodiscard]] const PickleValue* read_pickle(const InputFile& file, ByteRange& range,
                                             PickleValues& values, PickledStorages& storages);

}  // namespace pergola::host
