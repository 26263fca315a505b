// SPDX-License-Identifier: BSD-3-Clause
// Ctrl-C and SIGTERM as a wish that the training loop looks up: it finishes the update, saves and
// exits with 128 + N. Process-wide; any thread may ask.
#pragma once

namespace pergola::host {

// From now on the first SIGINT or SIGTERM is noted, and a second one ends the process at once with
// exit code 128 + N. A write to a closed pipe becomes an error instead of a signal. Calling it
// again forgets a signal that was noted.
void install_signal_handlers() noexcept;

// The first signal that came, or 0.
[[nodiscard]] int stop_signal() noexcept;

}  // namespace pergola::host
