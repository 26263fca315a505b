// SPDX-License-Identifier: BSD-3-Clause
// Calls itself without end when it is loaded. A handler of the signal finds no stack to run on,
// unless it has brought its own.

namespace {

volatile int zero = 0;

[[gnu::noinline]] int recurse(int depth) {  // NOLINT(misc-no-recursion)
  volatile char frame[1000];  // NOLINT(modernize-avoid-c-arrays): arrays cannot be volatile
  frame[0] = static_cast<char>(depth);
  return zero != 0 ? frame[0] : recurse(depth + 1) + frame[0];
}

struct Recurser {
  Recurser() noexcept { zero = recurse(0); }
};

const Recurser recurser;

}  // namespace
