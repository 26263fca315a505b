// SPDX-License-Identifier: BSD-3-Clause
// The file that a user names for a report, by --output. No state; thread-safe.
#pragma once

#include "pergola/error.h"

#include <filesystem>

namespace pergola::host {

// How a message tells it: "name a file with --output, such as --output page.html".
struct OutputKind {
  const char* example;
  ErrorKind error;
};

// "cannot write the report to <path>: <why>; name a file ...".
[[nodiscard]] Error unfit_output(const std::filesystem::path& path, const std::string& why,
                                 const OutputKind& kind);

// Throws where a file in the place of `path` would take away what is no regular file.
void expect_replaceable(const std::filesystem::path& path, const OutputKind& kind);

// The file that is meant, to be replaced as a whole: what links lead to, and not the links. It need
// not be there, but its folder. Throws as expect_replaceable does, and for stdout, links in a
// circle, and what a process has open.
[[nodiscard]] std::filesystem::path output_file(const std::filesystem::path& given,
                                                const OutputKind& kind);

}  // namespace pergola::host
