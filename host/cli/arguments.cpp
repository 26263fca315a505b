// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"

#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <boost/program_options.hpp>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iostream>
#include <system_error>

namespace pergola::host {
namespace {

namespace po = boost::program_options;
using List = std::vector<std::string>;

void add_check(po::options_description_easy_init& add) {
  add("model", po::value<List>(), "of check: a model to examine; repeatable (default: all)");
  add("only", po::value<List>(), "of check: an examination; repeatable (default: all)");
  add("list", "of check: print which examinations there are, and do none");
  add("format", po::value<std::string>(), "of check: text (default), json or junit");
  add("output", po::value<std::string>(), "of check: the file for --format; default: stdout");
  add("time-limit", po::value<std::string>(), "of check: seconds for an examination; default: 60");
}

void add_bench(po::options_description_easy_init& add) {
  add("profile", po::value<std::string>(),
      "a file for a trace of three steps after the windows, for Perfetto");
  add("predict", "measure predictions of the split test, a batch at a time, and no updates");
  add("warm-up", po::value<std::string>(), "steps before the first window; default: 10");
  add("steps", po::value<std::string>(), "of a window; default: 20");
  add("windows", po::value<std::string>(), "how many; default: 5");
  add("format", po::value<std::string>(), "text (default) or json");
  add("output", po::value<std::string>(), "the file for --format; default: stdout");
  add("baseline", po::value<std::string>(),
      "the JSON of an earlier bench: the exit code is 7 where this one has fewer samples/s");
  add("tolerance", po::value<std::string>(), "by more than so many percent; default: 5");
}

po::options_description describe(Options options) {
  po::options_description all("Options");
  auto add = all.add_options();
  add("help,h", "this text");
  add("log-level", po::value<std::string>(), "debug, info, warning or error");
  if (options == Options::kReport) {
    add("output", po::value<std::string>(), "the HTML file; default: RUN/report.html");
    add("samples", po::value<std::string>(), "rows of each prediction file; default: 40");
    return all;
  }
  add("plugin-path", po::value<List>(), "a folder with plugins, or a plugin; repeatable");
  if (options == Options::kPlugins) return all;
  if (options == Options::kTrust || options == Options::kCheck) {
    add("lock-file", po::value<std::string>(),
        "the lock file that `trust` writes (default: pergola.lock), and that the others go by");
    if (options == Options::kCheck) add_check(add);
    return all;
  }
  if (options == Options::kConvert) {
    add("to", po::value<std::string>(),
        "of convert: safetensors, torch (default for OUT.pt, .pth, .bin, .ckpt), or hf, a folder "
        "that from_pretrained loads");
    return all;
  }
  add("run-dir", po::value<std::string>(), "the run's folder: env.save_dir");
  add("device", po::value<std::string>(), "auto, cpu, cuda or cuda:N: training.device");
  if (options == Options::kConfig) return all;
  if (options == Options::kBench) {
    add_bench(add);
    return all;
  }
  if (options == Options::kTrain) {
    add("resume", "go on with the run in the folder");
    add("overwrite", "remove the run in the folder and start again");
    add("no-progress", "no progress bar");
    add("profile", "trace.json of a few updates, for Perfetto: training.profile.enabled");
    add("nvtx", "the same as ranges for Nsight Systems: training.profile.output");
    return all;
  }
  add("checkpoint", po::value<std::string>(),
      "a checkpoint, a run (its best, or last) or weights of others");
  if (options != Options::kPredict) return all;
  add("split", po::value<std::string>(), "val or test (default)");
  add("text", po::value<std::string>(), "the text of one sample, in place of a CONFIG and a split");
  add("image", po::value<List>(), "its image, PNG or JPEG; repeatable");
  add("features", po::value<List>(), "its region features, .npy; repeatable");
  add("top", po::value<std::string>(), "how many answers to list for it; default: 5");
  return all;
}

// "--resum is not an option; did you mean '--resume'?"
Error unknown_option(const std::string& name, const po::options_description& all,
                     const std::string& usage) {
  List names;
  for (const auto& option : all.options()) names.push_back("--" + option->long_name());
  return Error(ErrorKind::kConfig, "'", name, "' is not an option here", did_you_mean(name, names),
               "; usage: ", usage);
}

po::parsed_options parse(const List& words, const po::options_description& all,
                         const std::string& usage) {
  try {
    using po::command_line_style::style_t;
    const int style = style_t::unix_style & ~style_t::allow_guessing;
    return po::command_line_parser(words).options(all).style(style).allow_unregistered().run();
  } catch (const po::error& error) {
    throw Error(ErrorKind::kConfig, error.what(), "; usage: ", usage);
  }
}

// An option's value as the config key that it is short for.
void add_override(const po::variables_map& values, const char* option, const char* key,
                  Arguments& arguments) {
  if (values.count(option) == 0) return;
  const auto& text = values[option].as<std::string>();
  if (printable(text) != text) {  // the run's config.toml could not be read again
    throw Error(ErrorKind::kConfig, "--", option, " '", text,
                "' has control characters or bytes that are not UTF-8; give one without");
  }
  arguments.overrides.push_back(string_override(key, text));
}

// --profile FILE of a bench; --profile and --nvtx of a training.
void read_profile(const po::variables_map& values, Options options, Arguments& arguments) {
  if (options == Options::kBench && values.count("profile") != 0) {
    arguments.profile = values["profile"].as<std::string>();
  }
  if (options != Options::kTrain) return;
  const bool trace = values.count("profile") != 0;
  const bool nvtx = values.count("nvtx") != 0;
  if (!trace && !nvtx) return;
  if (trace && nvtx) {
    throw Error(ErrorKind::kConfig, "--profile and --nvtx exclude each other; give one of them");
  }
  for (const Override& word :
       parse_overrides({"training.profile.enabled=true",
                        nvtx ? "training.profile.output=nvtx" : "training.profile.output=trace"})) {
    arguments.overrides.push_back(word);
  }
}

// "--top 5", of `things`.
std::int64_t parse_count(const po::variables_map& values, const char* option, const char* things,
                         std::int64_t least) {
  const auto& text = values[option].as<std::string>();
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stop == end && number >= least) return number;
  throw Error(ErrorKind::kConfig, "--", option, " ", text, " is not a number of ", things,
              "; expected a whole number from ", least);
}

// What makes one sample.
void read_sample(const po::variables_map& values, Arguments& arguments) {
  if (values.count("text") != 0) arguments.text = values["text"].as<std::string>();
  if (printable_lines(arguments.text) != arguments.text) {
    throw Error(ErrorKind::kConfig, "--text '", printable(arguments.text),
                "' has control characters or bytes that are not UTF-8; give one without");
  }
  if (values.count("image") != 0) arguments.images = values["image"].as<List>();
  if (values.count("features") != 0) arguments.features = values["features"].as<List>();
  if (values.count("top") != 0) arguments.top = parse_count(values, "top", "answers", 1);
}

void read_report(const po::variables_map& values, Arguments& arguments) {
  if (values.count("output") != 0) arguments.output = values["output"].as<std::string>();
  if (values.count("samples") == 0) return;
  arguments.samples = static_cast<std::size_t>(parse_count(values, "samples", "samples", 0));
}

void read_format(const po::variables_map& values, const List& formats, Arguments& arguments) {
  if (values.count("format") == 0) return;
  arguments.format = values["format"].as<std::string>();
  if (std::ranges::find(formats, arguments.format) != formats.end()) return;
  throw Error(ErrorKind::kConfig, "--format '", printable(arguments.format), "' is not known",
              did_you_mean(arguments.format, formats), "; expected ", join(formats));
}

double parse_percent(const po::variables_map& values, const char* option) {
  const auto& text = values[option].as<std::string>();
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stop == end && number >= 0 && number <= 100) return number;
  throw Error(ErrorKind::kConfig, "--", option, " ", printable(text),
              " is not a number of percent; expected one from 0 to 100");
}

void read_bench(const po::variables_map& values, Arguments& arguments) {
  arguments.predict = values.count("predict") != 0;
  if (values.count("warm-up") != 0) arguments.warm_up = parse_count(values, "warm-up", "steps", 0);
  if (values.count("steps") != 0) arguments.steps = parse_count(values, "steps", "steps", 1);
  if (values.count("windows") != 0) {
    arguments.windows = parse_count(values, "windows", "windows", 1);
  }
  if (values.count("baseline") != 0) arguments.baseline = values["baseline"].as<std::string>();
  if (values.count("tolerance") == 0) return;
  arguments.tolerance = parse_percent(values, "tolerance");
  if (arguments.baseline) return;
  throw Error(ErrorKind::kConfig,
              "--tolerance is of a comparison, and there is nothing to compare ",
              "with; leave it out, or give --baseline FILE, the JSON of an earlier bench");
}

void read_check(const po::variables_map& values, Arguments& arguments) {
  if (values.count("model") != 0) arguments.models = values["model"].as<List>();
  if (values.count("only") != 0) arguments.only = values["only"].as<List>();
  if (values.count("time-limit") != 0) {
    arguments.seconds = parse_count(values, "time-limit", "seconds", 1);
  }
  arguments.list = values.count("list") != 0;
}

}  // namespace

Arguments parse_arguments(const List& words, const std::string& usage, Options options) {
  const po::options_description all = describe(options);
  const po::parsed_options parsed = parse(words, all, usage);
  Arguments arguments;
  for (const auto& option : parsed.options) {
    if (option.unregistered) throw unknown_option(option.original_tokens.at(0), all, usage);
    // Most likely "$NAME" in a script, and NAME is not set.
    if (std::ranges::find(option.value, "") != option.value.end()) {
      throw Error(
          ErrorKind::kConfig, option.string_key.empty() ? "a word" : "--" + option.string_key,
          " is empty (''); leave it out, or set the variable that it is made of; usage: ", usage);
    }
    if (option.position_key < 0) continue;
    arguments.positional.insert(arguments.positional.end(), option.value.begin(),
                                option.value.end());
  }
  po::variables_map values;
  try {
    po::store(parsed, values);
  } catch (const po::error& error) {
    throw Error(ErrorKind::kConfig, error.what(), "; usage: ", usage);
  }
  if (values.count("help") != 0) {
    std::cout << "usage: " << usage << "\n\n" << all;
    arguments.help = true;
    return arguments;
  }
  if (values.count("log-level") != 0) {
    init_log(parse_log_level(values["log-level"].as<std::string>()));
    arguments.log_level = true;
  }
  if (values.count("plugin-path") != 0) arguments.plugin_path = values["plugin-path"].as<List>();
  add_override(values, "run-dir", "env.save_dir", arguments);
  add_override(values, "device", "training.device", arguments);
  if (values.count("checkpoint") != 0)
    arguments.checkpoint = values["checkpoint"].as<std::string>();
  if (values.count("lock-file") != 0) arguments.lock_file = values["lock-file"].as<std::string>();
  if (values.count("to") != 0) arguments.to = values["to"].as<std::string>();
  if (values.count("split") != 0) arguments.split = values["split"].as<std::string>();
  read_sample(values, arguments);
  read_report(values, arguments);
  read_check(values, arguments);
  const bool is_check = options == Options::kCheck;
  read_format(values, is_check ? List{"text", "json", "junit"} : List{"text", "json"}, arguments);
  read_bench(values, arguments);
  read_profile(values, options, arguments);
  arguments.resume = values.count("resume") != 0;
  arguments.overwrite = values.count("overwrite") != 0;
  arguments.progress = values.count("no-progress") == 0;
  return arguments;
}

std::string take_positional(Arguments& arguments, const std::string& what,
                            const std::string& usage) {
  if (arguments.positional.empty()) {
    throw Error(ErrorKind::kConfig, what, " is missing; usage: ", usage);
  }
  std::string word = arguments.positional.front();
  arguments.positional.erase(arguments.positional.begin());
  return word;
}

std::string take_config(Arguments& arguments, const std::string& usage) {
  std::string file = take_positional(arguments, "CONFIG", usage);
  std::error_code error;
  if (file.find('=') != std::string::npos && !std::filesystem::exists(file, error)) {
    throw Error(ErrorKind::kConfig, "'", file, "' stands where CONFIG is expected; put the config ",
                "file first, then key=value words; usage: ", usage);
  }
  const std::vector<Override> words = parse_overrides(arguments.positional);
  arguments.overrides.insert(arguments.overrides.begin(), words.begin(), words.end());
  return file;
}

void expect_no_more(const Arguments& arguments, const std::string& usage) {
  if (arguments.positional.empty()) return;
  throw Error(ErrorKind::kConfig, "'", arguments.positional.front(),
              "' is one word too many; usage: ", usage);
}

}  // namespace pergola::host
