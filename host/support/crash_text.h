// SPDX-License-Identifier: BSD-3-Clause
// Text of a signal handler: no memory from the heap, no locks, nothing but write(2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pergola::host {

// Collects a line and writes it to stderr, and to the run's log file where there is one. What does
// not fit is left out. Async-signal-safe; of one thread.
class CrashText {
 public:
  // `log`: the descriptor of the log file, or -1.
  explicit CrashText(int log) noexcept : log_(log) {}

  void add(std::string_view text) noexcept;
  // Of somebody else: at most 240 bytes, with `?` for all that is not printable ASCII.
  void add_foreign(std::string_view text) noexcept;
  void add_number(std::int64_t number) noexcept;
  void add_hex(std::uintptr_t number) noexcept;  // "0x1f"
  void end_line() noexcept;
  // All of them, and the line's end.
  template <class... Texts>
  void line(const Texts&... texts) noexcept {
    (add(texts), ...);
    end_line();
  }

 private:
  const int log_;
  std::size_t size_ = 0;
  std::array<char, 4096> line_;
};

}  // namespace pergola::host
