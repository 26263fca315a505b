// SPDX-License-Identifier: BSD-3-Clause
// Leaves a second process behind when it is loaded, with all descriptors of the host. It ends with
// the host, so that tests leave nothing running.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

namespace {

struct Forker {
  Forker() noexcept {
    if (::fork() != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
};

const Forker forker;

}  // namespace
