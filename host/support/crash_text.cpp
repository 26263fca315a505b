// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/crash_text.h"

#include "host/support/hook.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace pergola::host {
namespace {

void write_or_leave(int fd, const char* text, std::size_t size) noexcept {
  while (size > 0) {
    const ssize_t count = ::write(fd, text, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text += count;
    size -= static_cast<std::size_t>(count);
  }
}

}  // namespace

void CrashText::add(std::string_view text) noexcept {
  const std::size_t room = line_.size() - size_ - 1;  // the line's end has its place
  const std::size_t count = std::min(text.size(), room);
  std::memcpy(line_.data() + size_, text.data(), count);
  size_ += count;
}

void CrashText::add_foreign(std::string_view text) noexcept {
  constexpr std::size_t kMost = 240;
  for (const char byte : text.substr(0, kMost)) {
    const char shown = byte >= ' ' && byte <= '~' ? byte : '?';
    add({&shown, 1});
  }
  if (text.size() > kMost) add("...");
}

void CrashText::add_number(std::int64_t number) noexcept {
  spell(number, [this](std::string_view digits) { add(digits); });
}

void CrashText::add_hex(std::uintptr_t number) noexcept {
  std::array<char, 16> digits;
  constexpr int kHex = 16;
  const char* const end =
      std::to_chars(digits.data(), digits.data() + digits.size(), number, kHex).ptr;
  add("0x");
  add({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void CrashText::end_line() noexcept {
  line_[size_++] = '\n';
  write_or_leave(STDERR_FILENO, line_.data(), size_);
  if (log_ >= 0) write_or_leave(log_, line_.data(), size_);
  size_ = 0;
}

}  // namespace pergola::host
