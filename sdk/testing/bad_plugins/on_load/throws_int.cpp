// SPDX-License-Identifier: BSD-3-Clause
// Throws from a static constructor what is no std::exception and has nothing to say.

namespace {

struct Thrower {
  Thrower() { throw 42; }  // NOLINT(hicpp-exception-baseclass): that is what is wrong
};

const Thrower thrower;

}  // namespace
