// SPDX-License-Identifier: BSD-3-Clause
// What must happen before the constructors of LibTorch's libraries run, which are most of the time
// that the program needs to start.
//
// A standard descriptor that is closed would be the number of the next file that is opened, such as
// the run's metrics.jsonl, and what is meant for stdout or stderr would go there. So it is opened,
// on nothing and the wrong way round: using it is an error as before.
//
// Stop signals get the handler that says so. Who sends one while the loader still maps the
// libraries, in the first hundredth of a second, gets the system's own end of a process.
//
// LibTorch's OpenMP threads spin while they wait for each other. Where another thread wants their
// core (a loader's worker, another program) they spin for whole time slices, and training becomes
// several times slower; where they sleep at once, waking them makes it two times slower.
// GOMP_SPINCOUNT=2000 is a few microseconds of spinning, a good middle. But libgomp reads it
// when it is loaded, before main: so the program starts itself again with it, once, before any
// library's constructor has run. Who sets OMP_WAIT_POLICY or GOMP_SPINCOUNT decides otherwise.
// host/docs/adr/0012-openmp-waits.md has the measurements.
#include "host/support/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstring>
#include <initializer_list>

namespace {

void take_closed_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest number that is free, which is this one.
    static_cast<void>(open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
  }
}

bool is_variable(const char* entry, const char* name) {
  const std::size_t length = std::strlen(name);
  return std::strncmp(entry, name, length) == 0 && entry[length] == '=';
}

void restart_with_short_waits(char** argv, char** environment) {
  constexpr int kMost = 4096;
  static char* extended[kMost + 2];
  static char spin_count[] = "GOMP_SPINCOUNT=2000";
  static char program[PATH_MAX];
  int count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count == kMost || is_variable(environment[count], "OMP_WAIT_POLICY") ||
        is_variable(environment[count], "GOMP_SPINCOUNT")) {
      return;
    }
    extended[count] = environment[count];
  }
  extended[count] = spin_count;
  // The path, not /proc/self/exe itself: process lists show the name that was started.
  const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (length > 0) execve(program, argv, extended);  // on failure we go on as we are
}

// Only system calls and plain memory: libc has not been initialised yet.
void before_all(int /*argc*/, char** argv, char** environment) {
  // A new start forgets handlers, but keeps what is blocked: no signal is lost in between. A parent
  // that left them blocked did not mean a program that cannot be stopped.
  sigset_t stops;
  sigemptyset(&stops);
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&stops, signal_number);
  sigprocmask(SIG_BLOCK, &stops, nullptr);
  take_closed_descriptors();
  restart_with_short_waits(argv, environment);
  pergola::host::end_on_stop_signals();
  sigprocmask(SIG_UNBLOCK, &stops, nullptr);
}

}  // namespace

__attribute__((section(".preinit_array"),
               used)) void (*const pergola_before_all)(int, char**, char**) = &before_all;
