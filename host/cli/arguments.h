// SPDX-License-Identifier: BSD-3-Clause
// The words of a command, parsed: its options and what is left (Boost.Program_options).
#pragma once

#include "host/config/overrides.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// Options that several commands have. A command names those that it takes.
struct Arguments {
  std::vector<std::string> positional;   // CONFIG, key=value ..., FILE, ...
  std::vector<std::string> plugin_path;  // --plugin-path
  std::vector<Override> overrides;       // key=value, and what options are short for
  std::optional<std::string> checkpoint;
  std::optional<std::string> split;
  // One sample of `predict`, which has no CONFIG then.
  std::string text;
  std::vector<std::string> images;
  std::vector<std::string> features;
  std::optional<std::int64_t> top;
  std::optional<std::string> lock_file;  // --lock-file
  std::optional<std::string> to;         // --to
  std::optional<std::string> output;     // --output
  std::optional<std::size_t> samples;    // --samples
  std::vector<std::string> models;       // --model
  std::vector<std::string> only;         // --only
  std::string format = "text";           // --format
  std::optional<std::int64_t> seconds;   // --time-limit
  bool list = false;                     // --list
  std::optional<std::int64_t> warm_up;   // --warm-up
  std::optional<std::int64_t> steps;     // --steps
  std::optional<std::int64_t> windows;   // --windows
  std::optional<std::string> baseline;   // --baseline
  std::optional<double> tolerance;       // --tolerance, percent
  bool predict = false;                  // --predict
  std::optional<std::string> profile;    // --profile FILE, of bench
  bool resume = false;
  bool overwrite = false;
  bool progress = true;
  bool log_level = false;  // --log-level was given, and is in force
  bool help = false;       // the help was printed; the command has nothing left to do
};

// Which options a command takes: those of the ones before it as well, up to kConfig; kTrust and
// kConvert those of kPlugins, kCheck those of kTrust, and kBench those of kConfig. kReport has its
// own.
enum class Options {
  kReport,
  kPlugins,
  kTrust,
  kCheck,
  kConvert,
  kConfig,
  kBench,
  kTrain,
  kEvaluate,
  kPredict
};

// Parses `words`. `usage` is the first line of the help. Throws Error{kConfig} for an option that
// is unknown, with the closest one, or that lacks its value, for an empty word, for a value
// that no config or text can hold, and a --top, --samples, ... that is no such number; sets the
// log level.
[[nodiscard]] Arguments parse_arguments(const std::vector<std::string>& words,
                                        const std::string& usage, Options options);

// The first of the positional words, taken off. Throws Error{kConfig} with `usage` when there is
// none.
[[nodiscard]] std::string take_positional(Arguments& arguments, const std::string& what,
                                          const std::string& usage);

// CONFIG, the first of the positional words; the others are key=value words, and go into
// `overrides` before what options are short for. Throws Error{kConfig} with `usage` when there is
// no CONFIG, or a key=value word in its place; and what parse_override throws.
[[nodiscard]] std::string take_config(Arguments& arguments, const std::string& usage);

// Throws Error{kConfig} when positional words are left over.
void expect_no_more(const Arguments& arguments, const std::string& usage);

}  // namespace pergola::host
