// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/child_limits.h"

#include "host/support/files.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>

namespace pergola::host {
namespace {

// Signals are as they will be for the plugin in this process, where some are ignored; but the
// handlers are about this process's work.
void forget_signal_handlers() {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Bytes of it that this process has; 0 when nobody says so.
std::uint64_t address_space() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void limit_memory(std::uint64_t more) {
  // Where memory runs out before the limit, this is the process to end.
  const UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  static_cast<void>(!::write(score.get(), "1000", 4));
  const std::uint64_t now = address_space();
  rlimit limit{};
  if (more == ChildLimits::kUnlimited || now == 0 || ::getrlimit(RLIMIT_AS, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, now + more);
  ::setrlimit(RLIMIT_AS, &limit);
}

// Not 0, which a program that takes core dumps from a pipe does not heed: it would copy all of the
// process first.
void forbid_core_dumps() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1);
  ::setrlimit(RLIMIT_CORE, &limit);
}

// The threads of a pool that was started before the fork are not in the child; who waits for them
// waits for ever. By name, since nothing in this folder links OpenMP.
void use_one_thread() {
  using SetThreads = void (*)(int);
  const auto set = reinterpret_cast<SetThreads>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set != nullptr) set(1);
}

}  // namespace

void confine_child(pid_t parent, int output, int report, const ChildLimits& limits) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  forget_signal_handlers();
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  ::dup2(report, kChildReportFd);
  ::fcntl(kChildReportFd, F_SETFD, FD_CLOEXEC);
  ::closefrom(kChildReportFd + 1);  // the run's log and lock are none of its business
  forbid_core_dumps();
  limit_memory(limits.memory);
  use_one_thread();
}

}  // namespace pergola::host
