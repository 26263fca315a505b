// SPDX-License-Identifier: BSD-3-Clause
// What a fatal signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) says before it ends the process:
// on stderr, and in the log file of a run unless that is JSON, the signal, the hook with its
// plugin, the update, the stack, and how to go on. Then it ends the process as it would have
// without that: same status, same core dump. Process-wide.
//
// The handler calls what is async-signal-safe, but for the stack (crash_stack.h), and ends the
// process where that takes longer than ten seconds.
#pragma once

#include <filesystem>
#include <string>

namespace pergola::host {

// Called by main(), whose thread's stack may overflow from now on: on other threads that ends the
// process without a word. An exception that nothing catches is reported, too. Leaves a signal
// alone that has a handler already, or gets one later; does nothing in a build with a sanitizer,
// which has its own. A forked child inherits it; one that has set the
// signals to their defaults may call this again.
void report_crashes() noexcept;

// From now on a report says how to go on from the checkpoint in the folder `last`, which is there
// when its file `manifest` is.  [main thread]
void set_crash_checkpoint(const std::filesystem::path& last, const char* manifest);

// How to go on after an error that the process does not survive: "the last checkpoint is runs/m/
// checkpoints/last: go on with --resume"; "" where set_crash_checkpoint() was not called.
[[nodiscard]] std::string way_to_go_on();

// The descriptor to which a report goes beside stderr; -1: none.
void set_crash_log(int fd) noexcept;

}  // namespace pergola::host
