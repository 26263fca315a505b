// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/program.h"

#include "host/cli/commands.h"
#include "host/device/device_failure.h"
#include "host/device/out_of_memory.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "pergola/error.h"
#include "pergola/suggest.h"
#include "pergola/version.h"

#include <cstdio>
#include <iostream>

namespace pergola::host {
namespace {

struct Command {
  const char* name;
  int (*run)(const Words& words);
};

constexpr Command kCommands[] = {{"train", train_command},
                                 {"validate", validate_command},
                                 {"test", test_command},
                                 {"predict", predict_command},
                                 {"tune", tune_command},
                                 {"bench", bench_command},
                                 {"report", report_command},
                                 {"plugins", plugins_command},
                                 {"list", list_command},
                                 {"config", config_command},
                                 {"checkpoint", checkpoint_command},
                                 {"doctor", doctor_command}};

constexpr const char* kHelp =
    R"(pergola trains multimodal models that come as plugins.

  pergola train     CONFIG [key=value ...]   train, then evaluate as run_type says
  pergola validate  CONFIG [key=value ...]   metrics of a checkpoint on the val split
  pergola test      CONFIG [key=value ...]   the same on the test split
  pergola predict   CONFIG [key=value ...]   a prediction file for a split
  pergola predict   --checkpoint DIR --text "..." --image FILE | --features FILE   one sample's answer, as JSON
  pergola tune      lr | batch_size CONFIG [key=value ...]   a learning rate, or a batch size, to begin with
  pergola bench     CONFIG [key=value ...]   how fast its training steps are; --baseline FILE: exit code 7 where they were faster
  pergola report    RUN                      a run as one HTML page: curves, config, predictions
  pergola plugins   list | inspect FILE | check FILE | trust [FILE ...]   which there are, what is in one; examine its models; trust it
  pergola list      models | losses | metrics | optimizers | schedulers | datasets | processors | callbacks
  pergola config    show CONFIG [key=value ...]   every value, and where it came from
  pergola checkpoint inspect PATH | verify PATH | convert [--to torch|hf] IN OUT   weights of any format, to safetensors, a file of torch.save or a folder of Hugging Face's
  pergola doctor                             what would stop a run on this machine

Each command has its options: pergola COMMAND --help. Also --version.
Exit codes: 0 done, 1 unexpected, or stdout cannot be written, 2 usage or config, 3 plugin, 4 data,
5 checkpoint or run folder, 6 a loss or score is not finite, 7 slower than a baseline,
128 + N stopped by signal N; training saves first.
)";

// Of those without options.
void expect_alone(const Words& arguments) {
  if (arguments.size() <= 1) return;
  throw Error(ErrorKind::kConfig, "'", arguments[1], "' is one word too many after ", arguments[0],
              "; pergola COMMAND --help is the help of a command");
}

int dispatch(const Words& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" ||
      arguments[0] == "help") {
    expect_alone(arguments);
    std::cout << kHelp;
    return arguments.empty() ? static_cast<int>(ErrorKind::kConfig) : 0;
  }
  if (arguments[0] == "--version") {
    expect_alone(arguments);
    std::cout << "pergola " << PERGOLA_VERSION << " (SDK ABI " << PERGOLA_ABI_VERSION << ")\n";
    return 0;
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    if (arguments[0] == command.name) return command.run({arguments.begin() + 1, arguments.end()});
    names.emplace_back(command.name);
  }
  throw Error(ErrorKind::kConfig, "'", arguments[0], "' is not a command",
              did_you_mean(arguments[0], names), "; pergola --help shows all");
}

int report(const std::string& message, ErrorKind kind) noexcept {
  clear_status_line();
  log::write(LogLevel::kError, message);
  device_failure_was_told();
  return static_cast<int>(kind);
}

// Of an exception that nobody made an Error of.
int report_unexpected(const std::exception& error) {
  const std::string text = error.what();  // LibTorch's go on with a stack trace
  const std::string failure = device_failure(error);
  if (!failure.empty()) return report(explain_device_failure(failure), ErrorKind::kUnexpected);
  const MemoryShortage shortage = MemoryShortage::parse(text);
  if (shortage.requested > 0) {
    return report(concat("out of memory: ", shortage.describe(), "; ",
                         memory_advice(shortage, /*is_training=*/false)),
                  ErrorKind::kUnexpected);
  }
  return report("unexpected: " + text.substr(0, text.find('\n')) +
                    "; please report it with the command and the config",
                ErrorKind::kUnexpected);
}

}  // namespace

int run_program(const std::vector<std::string>& arguments) noexcept {
  init_log(LogLevel::kInfo);
  ignore_write_signals();
  try {
    const int code = dispatch(arguments);
    std::cout.flush();
    if (std::cout) return code;
    return report("the result could not be written to stdout", ErrorKind::kUnexpected);
  } catch (const Stopped& stopped) {
    clear_status_line();
    log::info("[run] stopped by signal ", stopped.signal_number());
    return kSignalExit + stopped.signal_number();
  } catch (const Error& error) {
    return report(error.what(), error.kind());
  } catch (const std::bad_alloc&) {
    return report("out of memory; try a smaller training.batch_size or model",
                  ErrorKind::kUnexpected);
  } catch (const std::exception& error) {
    return report_unexpected(error);
  } catch (...) {
    return report("unexpected: an exception that is none of C++'s own", ErrorKind::kUnexpected);
  }
}

}  // namespace pergola::host
