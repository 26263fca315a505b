// SPDX-License-Identifier: BSD-3-Clause
// Where the report of a command goes that has --format and --output. Main thread.
#pragma once

#include "host/cli/arguments.h"

#include <string>

namespace pergola::host {

// Throws Error{kConfig} when --output names what cannot be replaced by a file (output_file.h), or
// the file `input`: to be known before minutes of work.
void expect_output(const Arguments& arguments, const std::string& input);

// Whether people read on stdout what is found, as text: it is free for that when --output takes the
// report, or text is what is asked for.
[[nodiscard]] bool tells_on_stdout(const Arguments& arguments);

// Writes the report, in --format, to --output, or else to stdout, unless it was told there.
void write_report(const Arguments& arguments, const std::string& report);

}  // namespace pergola::host
