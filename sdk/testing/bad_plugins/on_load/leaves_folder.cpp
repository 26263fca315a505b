// SPDX-License-Identifier: BSD-3-Clause
// Goes to another working directory when it is loaded: relative paths mean other files from then
// on.
#include <unistd.h>

namespace {

struct Leaver {
  Leaver() noexcept { static_cast<void>(!::chdir("/")); }
};

const Leaver leaver;

}  // namespace
