// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/cli/config_argument.h"
#include "host/cli/report_output.h"
#include "host/run/bench.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "host/support/signals.h"
#include "pergola/error.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <system_error>

namespace pergola::host {
namespace {

constexpr const char* kBenchUsage = "pergola bench CONFIG [key=value ...] [options]";
constexpr int kSlowerExit = 7;  // no error's: the bench did what it was asked for
constexpr double kTolerance = 5;

BenchRequest bench_request(const Arguments& arguments, const ConfigAndPlugins& loaded) {
  constexpr std::int64_t kMost = 1'000'000;  // so that no product overflows
  BenchRequest request{loaded.config, loaded.catalog};
  request.warm_up = std::min(arguments.warm_up.value_or(request.warm_up), kMost);
  request.steps = std::min(arguments.steps.value_or(request.steps), kMost);
  request.windows = std::min(arguments.windows.value_or(request.windows), kMost);
  if (arguments.profile) request.trace = *arguments.profile;
  return request;
}

// Neither is to take the other's place.
void expect_two_files(const Arguments& arguments) {
  if (!arguments.profile || !arguments.output) return;
  const auto place = [](const std::string& path) {
    std::error_code failed;
    const std::filesystem::path found =
        std::filesystem::weakly_canonical(std::filesystem::absolute(path, failed), failed);
    return failed ? std::filesystem::path(path) : found;
  };
  if (place(*arguments.profile) != place(*arguments.output)) return;
  throw Error(ErrorKind::kConfig, "--profile and --output both name ", printable(*arguments.output),
              "; give the trace and the report a file each");
}

std::optional<Comparison> comparison_of(const BenchReport& report,
                                        const std::optional<Baseline>& baseline,
                                        const Arguments& arguments) {
  if (!baseline) return std::nullopt;
  Comparison comparison = compare_with(*baseline, report, arguments.tolerance.value_or(kTolerance));
  for (const std::string& difference : comparison.differences) {
    log::warning("[bench] the baseline is of another bench: ", difference);
  }
  return comparison;
}

}  // namespace

int bench_command(const Words& words) {
  Arguments arguments = parse_arguments(words, kBenchUsage, Options::kBench);
  if (arguments.help) return 0;
  expect_output(arguments, arguments.positional.empty() ? "" : arguments.positional.front());
  expect_two_files(arguments);
  std::optional<Baseline> baseline;
  if (arguments.baseline) baseline = read_baseline(*arguments.baseline);
  const ConfigAndPlugins loaded = load_config_argument(arguments, kBenchUsage);
  note_stop_signals();
  const BenchRequest request = bench_request(arguments, loaded);
  const BenchReport report = arguments.predict ? bench_predictions(request) : bench(request);
  const std::optional<Comparison> comparison = comparison_of(report, baseline, arguments);
  const Comparison* const compared = comparison ? &*comparison : nullptr;
  const std::string text = as_text(report, compared);
  if (tells_on_stdout(arguments)) std::cout << text;
  write_report(arguments, arguments.format == "json" ? as_json(report, compared) : text);
  return comparison && comparison->is_slower() ? kSlowerExit : 0;
}

}  // namespace pergola::host
