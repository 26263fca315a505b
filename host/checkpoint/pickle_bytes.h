// SPDX-License-Identifier: BSD-3-Clause
// The bytes of a pickle, read through a window, and the sentences for what is wrong with them.
// Not thread-safe.
#pragma once

#include "host/checkpoint/pickle_reader.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// Throws the Error{kCheckpoint} of a file that is not as PyTorch writes it; `what` is wrong.
[[noreturn]] void refuse_torch_file(const InputFile& file, std::string_view what);

class PickleBytes {
 public:
  // REQUIRES: `file` outlives this; the range is in the file.
  PickleBytes(const InputFile& file, const ByteRange& range);

  // Each of these refuses when the pickle ends before.
  [[nodiscard]] std::uint8_t byte();
  // Little-endian, of 1 to 8 bytes.
  [[nodiscard]] std::uint64_t number(int width);
  [[nodiscard]] std::string text(std::uint64_t size);
  // Up to a newline, which is taken and left out; a name, so it is short.
  [[nodiscard]] std::string line();

  // Where the next byte is in the file.
  [[nodiscard]] std::uint64_t position() const noexcept { return window_begin_ + at_; }

  [[noreturn]] void refuse(std::string_view what) const;
  // For what neither tensors nor plain data need: `name` is what the pickle asks for.
  [[noreturn]] void refuse_foreign(std::string_view name) const;

 private:
  const InputFile& file_;
  std::uint64_t end_;
  std::vector<char> window_;
  std::uint64_t window_begin_;  // in the file
  std::size_t at_ = 0;          // in the window
};

}  // namespace pergola::host
