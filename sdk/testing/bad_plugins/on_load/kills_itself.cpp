// SPDX-License-Identifier: BSD-3-Clause
// Sends the process the one signal that no handler sees when it is loaded.
#include <csignal>

namespace {

struct Killer {
  Killer() noexcept { static_cast<void>(std::raise(SIGKILL)); }
};

const Killer killer;

}  // namespace
