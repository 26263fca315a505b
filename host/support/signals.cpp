// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace pergola::host {
namespace {

std::atomic<int> noted_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not wait for a lock");

// Only what is async-signal-safe.
extern "C" void on_stop_signal(int signal_number) {
  int expected = 0;
  if (!noted_signal.compare_exchange_strong(expected, signal_number)) ::_exit(128 + signal_number);
}

void handle(int signal_number, void (*handler)(int)) noexcept {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  ::sigaction(signal_number, &action, nullptr);
}

}  // namespace

void ignore_broken_pipes() noexcept { handle(SIGPIPE, SIG_IGN); }

void note_stop_signals() noexcept {
  noted_signal = 0;
  handle(SIGINT, &on_stop_signal);
  handle(SIGTERM, &on_stop_signal);
  struct sigaction hang_up {};
  ::sigaction(SIGHUP, nullptr, &hang_up);
  if (hang_up.sa_handler != SIG_IGN) handle(SIGHUP, &on_stop_signal);
}

int stop_signal() noexcept { return noted_signal; }

void stop_if_asked() {
  if (const int signal_number = noted_signal; signal_number != 0) throw Stopped(signal_number);
}

}  // namespace pergola::host
