// SPDX-License-Identifier: BSD-3-Clause
// Closes stdout and stderr when it is loaded, as programs do that become a service. The next files
// that the process opens get their numbers, and whatever is printed is written into them.
#include <unistd.h>

namespace {

struct Closer {
  Closer() noexcept {
    ::close(STDOUT_FILENO);
    ::close(STDERR_FILENO);
  }
};

const Closer closer;

}  // namespace
