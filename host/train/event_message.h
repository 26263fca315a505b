// SPDX-License-Identifier: BSD-3-Clause
// The messages of TensorBoard's event files: tensorflow.Event, with the parts of Summary,
// HistogramProto, SessionLog and the HParams plugin's messages that a run needs. Each function
// gives one Event as bytes; `time` is seconds since 1970. No state; thread-safe. No LibTorch here.
#pragma once

#include "pergola/value.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// The tags of the HParams plugin, and a tag's part up to the first `/`, by which TensorBoard
// groups.
inline constexpr std::string_view kSessionStartTag = "_hparams_/session_start_info";
inline constexpr std::string_view kSessionEndTag = "_hparams_/session_end_info";

// How values are distributed. Bucket i holds those from limits[i - 1] (`min` for the first) to
// limits[i].
struct Histogram {
  double min = 0;
  double max = 0;
  double num = 0;
  double sum = 0;
  double sum_squares = 0;
  std::vector<double> limits;
  std::vector<double> counts;
};

// The first event of every file.
[[nodiscard]] std::string encode_file_version(double time);

// A process begins to write at `step`. A TensorBoard that is watching and has seen such an event
// before, of an earlier process, forgets what it has of this step and later ones.
[[nodiscard]] std::string encode_start(double time, std::int64_t step);

// One point for each number, in float32, which is what TensorBoard keeps.
[[nodiscard]] std::string encode_scalars(double time, std::int64_t step,
                                         const std::map<std::string, double>& numbers);

[[nodiscard]] std::string encode_histogram(double time, std::int64_t step, std::string_view tag,
                                           const Histogram& histogram);

// What a run is made from, for the HParams tab: booleans, numbers and strings. What is neither of
// them, and a number that is not finite, is shown as text.
[[nodiscard]] std::string encode_session_start(double time, const Value::Table& hparams);

enum class SessionStatus : std::uint8_t { kSuccess = 1, kFailure = 2 };
[[nodiscard]] std::string encode_session_end(double time, SessionStatus status);

// What a resumed run looks at in an event that it finds.
struct EventHead {
  std::int64_t step = 0;
  std::vector<std::string> tags;  // of its points; none for a file version and a start
};
// Nothing when it is no Event.
[[nodiscard]] std::optional<EventHead> read_event_head(std::string_view event);

}  // namespace pergola::host
