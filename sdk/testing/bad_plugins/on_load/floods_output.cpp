// SPDX-License-Identifier: BSD-3-Clause
// Writes 16 MiB to stdout when it is loaded.
#include <unistd.h>

#include <string>

namespace {

struct Writer {
  Writer() {
    constexpr int kLines = 1 << 18;
    constexpr int kLinesAtOnce = 1 << 10;
    std::string lines;
    for (int i = 0; i < kLinesAtOnce; ++i) lines.append(63, 'x').push_back('\n');
    for (int i = 0; i < kLines; i += kLinesAtOnce) {
      if (::write(STDOUT_FILENO, lines.data(), lines.size()) < 0) return;
    }
  }
};

const Writer writer;

}  // namespace
