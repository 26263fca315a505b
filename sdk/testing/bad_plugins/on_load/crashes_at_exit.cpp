// SPDX-License-Identifier: BSD-3-Clause
// Is loaded without a word, and crashes when the process ends: a static destructor of it uses what
// is gone by then.

namespace {

struct Crasher {
  ~Crasher() {
    volatile int* volatile gone = nullptr;
    *gone = 1;
  }
};

const Crasher crasher;

}  // namespace
