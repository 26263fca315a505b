// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/cli/config_argument.h"
#include "host/cli/program.h"
#include "host/run/commands.h"
#include "host/run/plugins.h"
#include "host/run/predict_sample.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "pergola/error.h"

#include <cmath>
#include <cstdio>
#include <iostream>

namespace pergola::host {
namespace {

// Lines of "name value", so that a shell script can read them.
int print(const RunResult& result) {
  for (const auto& [key, number] : result.metrics) {
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%.6g", number);
    std::cout << key << ' ' << digits << '\n';
  }
  if (!result.status.empty()) std::cout << "status " << result.status << '\n';
  std::cout << "updates " << result.updates << '\n';
  if (!result.run_dir.empty()) std::cout << "run " << result.run_dir.string() << '\n';
  if (!result.checkpoint.empty()) std::cout << "checkpoint " << result.checkpoint.string() << '\n';
  for (const auto& file : result.files) std::cout << "predictions " << file.string() << '\n';
  return result.stop_signal != 0 ? kSignalExit + result.stop_signal : 0;
}

int evaluate_split(Arguments& arguments, const std::string& usage, const std::string& split,
                   bool predict) {
  const ConfigAndPlugins loaded = load_config_argument(arguments, usage);
  EvaluateRequest request{loaded.config, loaded.catalog, split, {}, predict};
  if (arguments.checkpoint) request.checkpoint = *arguments.checkpoint;
  note_stop_signals();
  return print(evaluate(request));
}

int measure_split(const Words& words, const std::string& usage, const std::string& split) {
  Arguments arguments = parse_arguments(words, usage, Options::kEvaluate);
  if (arguments.help) return 0;
  return evaluate_split(arguments, usage, split, /*predict=*/false);
}

constexpr const char* kPredictUsage =
    "pergola predict CONFIG [key=value ...] [--split val|test] [options], or pergola predict "
    "--checkpoint DIR --text \"...\" --image FILE | --features FILE [key=value ...] [options]";

// A sample has no place for what a split has.
void expect_sample_alone(const Arguments& arguments) {
  if (!arguments.checkpoint) {
    throw Error(ErrorKind::kConfig, "--checkpoint is missing: one sample is predicted by what a ",
                "checkpoint carries; give --checkpoint DIR, a checkpoint's folder or a run's");
  }
  if (arguments.split) {
    throw Error(ErrorKind::kConfig, "--split ", *arguments.split,
                " does not go with --text, --image and --features, which are one sample; leave out "
                "one or the other");
  }
  for (const std::string& word : arguments.positional) {
    if (word.find('=') != std::string::npos) continue;
    throw Error(ErrorKind::kConfig, "'", word,
                "' stands beside --text, --image or --features, and "
                "one sample takes no CONFIG: its config is that of the checkpoint; leave it out");
  }
}

int predict_one(const Arguments& arguments) {
  expect_sample_alone(arguments);
  SampleRequest request;
  request.checkpoint = *arguments.checkpoint;
  request.overrides = parse_overrides(arguments.positional);
  request.overrides.insert(request.overrides.end(), arguments.overrides.begin(),
                           arguments.overrides.end());
  request.plugin_path = arguments.plugin_path;
  request.text = arguments.text;
  request.images.assign(arguments.images.begin(), arguments.images.end());
  request.features.assign(arguments.features.begin(), arguments.features.end());
  if (arguments.top) request.top = *arguments.top;
  std::cout << to_json(predict_sample(request)) << '\n';
  return 0;
}

}  // namespace

int train_command(const Words& words) {
  const std::string usage = "pergola train CONFIG [key=value ...] [options]";
  Arguments arguments = parse_arguments(words, usage, Options::kTrain);
  if (arguments.help) return 0;
  if (arguments.resume && arguments.overwrite) {
    throw Error(ErrorKind::kConfig,
                "--resume and --overwrite exclude each other; give one of them");
  }
  const ConfigAndPlugins loaded = load_config_argument(arguments, usage);
  TrainRequest request{loaded.config, loaded.catalog};
  if (arguments.resume) request.existing = ExistingRun::kResume;
  if (arguments.overwrite) request.existing = ExistingRun::kOverwrite;
  request.progress_bar = arguments.progress;
  note_stop_signals();
  return print(train(request));
}

int validate_command(const Words& words) {
  return measure_split(words, "pergola validate CONFIG [key=value ...] [options]", "val");
}

int test_command(const Words& words) {
  return measure_split(words, "pergola test CONFIG [key=value ...] [options]", "test");
}

int predict_command(const Words& words) {
  Arguments arguments = parse_arguments(words, kPredictUsage, Options::kPredict);
  if (arguments.help) return 0;
  const bool sample =
      !arguments.text.empty() || !arguments.images.empty() || !arguments.features.empty();
  if (sample) return predict_one(arguments);
  if (arguments.top) {
    throw Error(ErrorKind::kConfig, "--top ", *arguments.top, " is of one sample, and there is no ",
                "--text, --image or --features; leave it out, or give these");
  }
  const std::string split = arguments.split.value_or("test");
  if (split != "val" && split != "test") {
    throw Error(ErrorKind::kConfig, "--split ", split,
                " is not a split to predict; expected val or test");
  }
  return evaluate_split(arguments, kPredictUsage, split, /*predict=*/true);
}

}  // namespace pergola::host
