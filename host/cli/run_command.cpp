// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/cli/program.h"
#include "host/run/commands.h"
#include "host/run/plugins.h"
#include "host/support/signals.h"
#include "pergola/error.h"

#include <cmath>
#include <cstdio>
#include <iostream>

namespace pergola::host {
namespace {

ConfigAndPlugins load(Arguments& arguments, const std::string& usage) {
  const std::string file = take_config(arguments, usage);
  return load_config(file, arguments.overrides, arguments.plugin_path);
}

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

int evaluate_split(const Words& words, const std::string& usage, const char* split, bool predict) {
  Arguments arguments =
      parse_arguments(words, usage, predict ? Options::kPredict : Options::kEvaluate);
  if (arguments.help) return 0;
  const std::string wanted = split != nullptr ? split : arguments.split;
  if (wanted != "val" && wanted != "test") {
    throw Error(ErrorKind::kConfig, "--split ", wanted,
                " is not a split to predict; expected val or test");
  }
  const ConfigAndPlugins loaded = load(arguments, usage);
  EvaluateRequest request{loaded.config, loaded.catalog, wanted, {}, predict};
  if (arguments.checkpoint) request.checkpoint = *arguments.checkpoint;
  note_stop_signals();
  return print(evaluate(request));
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
  const ConfigAndPlugins loaded = load(arguments, usage);
  TrainRequest request{loaded.config, loaded.catalog};
  if (arguments.resume) request.existing = ExistingRun::kResume;
  if (arguments.overwrite) request.existing = ExistingRun::kOverwrite;
  request.progress_bar = arguments.progress;
  note_stop_signals();
  return print(train(request));
}

int validate_command(const Words& words) {
  return evaluate_split(words, "pergola validate CONFIG [key=value ...] [options]", "val",
                        /*predict=*/false);
}

int test_command(const Words& words) {
  return evaluate_split(words, "pergola test CONFIG [key=value ...] [options]", "test",
                        /*predict=*/false);
}

int predict_command(const Words& words) {
  return evaluate_split(
      words, "pergola predict CONFIG [key=value ...] [--split val|test] [options]", nullptr,
      /*predict=*/true);
}

}  // namespace pergola::host
