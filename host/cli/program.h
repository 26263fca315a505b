// SPDX-License-Identifier: BSD-3-Clause
// The `pergola` program: finds the command, runs it, and turns whatever happens into an exit code.
#pragma once

#include <string>
#include <vector>

namespace pergola::host {

// Added to the number of the signal that stopped a command, as shells do.
inline constexpr int kSignalExit = 128;

// `arguments` without the program's name. Results go to stdout, everything else to stderr. Returns
// the exit code: 0, an ErrorKind's number, or 128 + N after signal N. Never throws.
[[nodiscard]] int run_program(const std::vector<std::string>& arguments) noexcept;

}  // namespace pergola::host
