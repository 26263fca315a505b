// SPDX-License-Identifier: BSD-3-Clause
// The fingerprint of a build: what host and plugin must agree in, because C++ classes cross the
// border between them (sdk/docs/abi.md). Plain data. Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pergola::host {

inline constexpr std::size_t kMaxFingerprintSize = 4096;

// Fields and values in the order in which they were written; all text is safe to print.
using Fingerprint = std::vector<std::pair<std::string, std::string>>;

// Parses "field = value" lines; one NUL at the end is the C string's own. `source` names the file
// in messages. Throws Error{kPlugin} for any other line, a field that is there twice, and no lines.
[[nodiscard]] Fingerprint parse_fingerprint(std::string_view text, const std::string& source);

// This program's own.
[[nodiscard]] const Fingerprint& host_fingerprint();

// "" when all fields agree; otherwise a table of all fields with both values and a verdict, and the
// command that rebuilds the plugin against the SDK of this installation.
[[nodiscard]] std::string fingerprint_difference(const Fingerprint& host,
                                                 const Fingerprint& plugin);

}  // namespace pergola::host
