// SPDX-License-Identifier: BSD-3-Clause
// `pergola report`: a run's folder as one HTML file that needs nothing else: no network, no other
// file, and no script to be read. Main thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace pergola::host {

inline constexpr std::size_t kReportSamples = 40;

// The page about the run in `run`, with at most `samples` rows of each prediction file. The run may
// be going on. Throws Error{kCheckpoint} for what is no run's folder.
[[nodiscard]] std::string report_page(const std::filesystem::path& run,
                                      std::size_t samples = kReportSamples);

// Writes it to `output`, by default <run>/report.html, and returns that name: there is the old file
// or the whole new one. An `output` that is a link stays one, and what it leads to is written.
// Throws Error{kCheckpoint} when it cannot be written, too: what is there and is no regular file,
// a report.html that is a link, the standard output.
std::filesystem::path write_report(const std::filesystem::path& run,
                                   const std::optional<std::filesystem::path>& output,
                                   std::size_t samples);

}  // namespace pergola::host
