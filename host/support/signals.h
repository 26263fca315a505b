// SPDX-License-Identifier: BSD-3-Clause
// Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 (which Slurm sends before a time limit, when it is asked to)
// as a wish that a run looks up: training finishes its update, saves and exits with 128 + N; what
// has nothing to save stops at once. Process-wide; any thread may ask.
#pragma once

#include <exception>

namespace pergola::host {

// Work ended because a stop signal came. Not an Error: nothing is wrong.
class Stopped final : public std::exception {
 public:
  explicit Stopped(int signal_number) noexcept : signal_(signal_number) {}
  [[nodiscard]] const char* what() const noexcept override { return "stopped by a signal"; }
  [[nodiscard]] int signal_number() const noexcept { return signal_; }

 private:
  int signal_;
};

// A write to a closed pipe, or of more than a file may hold (`ulimit -f`), becomes an error instead
// of a signal. What the process starts inherits that.
void ignore_write_signals() noexcept;

// From now on SIGINT, SIGTERM, SIGHUP or SIGUSR1 ends the process at once, as it does by default,
// but with a sentence on stderr: for commands, and for the time, in which there is nothing to save.
// Makes only system calls, so that it can be called before libraries are initialised. SIGHUP stays
// ignored where it was, as under nohup.
void end_on_stop_signals() noexcept;

// From now on the first of these signals is noted, and a second one ends the process at once with
// exit code 128 + N. SIGHUP stays ignored where it was. Calling it again forgets a signal that was
// noted.
void note_stop_signals() noexcept;

// The first signal that came, or 0.
[[nodiscard]] int stop_signal() noexcept;

// Throws Stopped when a signal came. Called in loops that take long and have nothing to save.
void stop_if_asked();

}  // namespace pergola::host
