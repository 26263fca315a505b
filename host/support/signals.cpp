// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/signals.h"

#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <iterator>
#include <string_view>

namespace pergola::host {
namespace {

std::atomic<int> noted_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not wait for a lock");

iovec part(std::string_view text) noexcept {
  return {const_cast<char*>(text.data()), text.size()};  // writev(2) only reads it
}

// Only what is async-signal-safe, here and below.
extern "C" void on_stop_signal(int signal_number) {
  int expected = 0;
  if (!noted_signal.compare_exchange_strong(expected, signal_number)) ::_exit(128 + signal_number);
}

// No log and no streams here: those take locks.
extern "C" void on_early_stop_signal(int signal_number) {
  char digits[] = {static_cast<char>('0' + signal_number / 10),
                   static_cast<char>('0' + signal_number % 10)};
  const int skip = signal_number < 10 ? 1 : 0;
  const iovec parts[] = {part("stopped by signal "), part({digits + skip, sizeof(digits) - skip}),
                         part("; nothing was written\n")};
  static_cast<void>(!::writev(STDERR_FILENO, parts, std::size(parts)));
  // Ends the process when this returns; a shell's loop ends only for a child that a signal ended.
  ::signal(signal_number, SIG_DFL);
  ::raise(signal_number);
}

void handle(int signal_number, void (*handler)(int)) noexcept {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  ::sigaction(signal_number, &action, nullptr);
}

void handle_stop_signals(void (*handler)(int)) noexcept {
  handle(SIGINT, handler);
  handle(SIGTERM, handler);
  handle(SIGUSR1, handler);
  struct sigaction hang_up {};
  ::sigaction(SIGHUP, nullptr, &hang_up);
  if (hang_up.sa_handler != SIG_IGN) handle(SIGHUP, handler);
}

}  // namespace

void ignore_write_signals() noexcept {
  handle(SIGPIPE, SIG_IGN);
  handle(SIGXFSZ, SIG_IGN);
}

void end_on_stop_signals() noexcept { handle_stop_signals(&on_early_stop_signal); }

void note_stop_signals() noexcept {
  noted_signal = 0;
  handle_stop_signals(&on_stop_signal);
}

int stop_signal() noexcept { return noted_signal; }

void stop_if_asked() {
  if (const int signal_number = noted_signal; signal_number != 0) throw Stopped(signal_number);
}

}  // namespace pergola::host
