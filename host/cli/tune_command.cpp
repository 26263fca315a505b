// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/cli/config_argument.h"
#include "host/config/run_config.h"
#include "host/run/tune.h"
#include "pergola/columns.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace pergola::host {
namespace {

constexpr const char* kTuneUsage = "pergola tune lr | batch_size CONFIG [key=value ...] [options]";
constexpr std::size_t kRows = 20;  // of the range test's 100 points, about

std::string format(const char* form, double number) {
  char text[48];
  std::snprintf(text, sizeof(text), form, number);
  return text;
}

// A table as columns() makes it, which begins with a line break.
void print(const std::vector<std::vector<std::string>>& rows) {
  std::cout << columns(rows, rows.size()).substr(1) << '\n';
}

void print_points(const LrFindings& findings) {
  std::vector<std::vector<std::string>> rows = {{"lr", "loss", "smoothed"}};
  const std::size_t step = std::max<std::size_t>(1, findings.points.size() / kRows);
  for (std::size_t i = 0; i < findings.points.size(); ++i) {
    const LrFinder::Point& point = findings.points[i];
    const bool last = i + 1 == findings.points.size();
    if (i % step != 0 && !last && findings.suggestion != point.rate) continue;
    rows.push_back({format("%.2e", point.rate), format("%.4g", point.loss),
                    point.smoothed ? format("%.4g", *point.smoothed) : "-"});
  }
  print(rows);
  if (findings.diverged) std::cout << "the loss diverged: no higher rate was tried\n";
}

int suggest_lr(const TuneRequest& request) {
  const LrFindings findings = tune_lr(request);
  if (findings.points.empty()) {
    throw Error(ErrorKind::kNan,
                "the loss of the first update is not a finite number, before any training; look "
                "for nan and inf in the data, and at the losses of the model");
  }
  print_points(findings);
  if (!findings.suggestion) {
    throw Error(ErrorKind::kConfig,
                "there is no rate to suggest: the loss falls at none of those "
                "up to ",
                format("%.2e", findings.points.back().rate),
                "; look at the table, at the data and at the losses, or try a larger "
                "training.batch_size, with which they vary less");
  }
  std::cout << "optimizer.params.lr = " << format("%.2e", *findings.suggestion) << '\n';
  return 0;
}

int suggest_batch_size(const TuneRequest& request) {
  const BatchSizeFindings findings = tune_batch_size(request);
  std::vector<std::vector<std::string>> rows = {{"batch_size", "samples/s", "MiB"}};
  for (const BatchSizeTrial& trial : findings.trials) {
    const double mebibytes = static_cast<double>(trial.bytes) / (1024.0 * 1024.0);
    rows.push_back({concat(trial.batch_size), format("%.4g", trial.samples_per_second),
                    format("%.0f", mebibytes)});
  }
  print(rows);
  std::cout << findings.end << "\n"
            << batch_size_key(request.config.root.value()) << " = " << findings.suggestion << '\n';
  return 0;
}

}  // namespace

int tune_command(const Words& words) {
  Arguments arguments = parse_arguments(words, kTuneUsage, Options::kConfig);
  if (arguments.help) return 0;
  const std::string what = take_positional(arguments, "`lr` or `batch_size`", kTuneUsage);
  if (what != "lr" && what != "batch_size") {
    throw Error(ErrorKind::kConfig, "'", what, "' is nothing that can be tuned",
                did_you_mean(what, {"lr", "batch_size"}), "; usage: ", kTuneUsage);
  }
  const ConfigAndPlugins loaded = load_config_argument(arguments, kTuneUsage);
  const TuneRequest request{loaded.config, loaded.catalog};
  return what == "lr" ? suggest_lr(request) : suggest_batch_size(request);
}

}  // namespace pergola::host
