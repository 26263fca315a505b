// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/check.h"
#include "host/check/check_report.h"
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/cli/report_output.h"
#include "host/config/params_toml.h"
#include "host/config/toml.h"
#include "host/plugin/probe.h"
#include "host/run/plugins.h"
#include "host/support/files.h"
#include "host/support/hash.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <system_error>

namespace pergola::host {
namespace {

constexpr const char* kPluginsUsage =
    "pergola plugins list | inspect FILE | check FILE [model_config.<model>.key=value ...] | trust "
    "[FILE ...]";
constexpr const char* kLockFile = "pergola.lock";

TrustPolicy policy_of(const Arguments& arguments) {
  return arguments.lock_file ? locked_policy(*arguments.lock_file) : TrustPolicy{};
}

int list_plugins(const Arguments& arguments) {
  const PluginCatalog catalog = scan_plugins(arguments.plugin_path, policy_of(arguments));
  PluginProber prober(catalog.policy(), Failures::kBelieve);
  for (const PluginFile& file : catalog.files()) {
    const std::string name =
        file.manifest ? file.manifest->name + " " + file.manifest->version : "-";
    const std::string problem = file.usable() ? prober.problem_of(file) : file.problem;
    std::cout << name << '\t' << (file.manifest ? join(file.manifest->keys("model"), ",") : "-")
              << '\t' << (problem.empty() ? "ok" : "refused") << '\t'
              << printable(file.path.string()) << '\n';
    if (!problem.empty()) log::warning("[plugin] ", problem);
  }
  if (catalog.files().empty())
    log::warning("[plugin] no plugin was found; name a folder with --plugin-path");
  return 0;
}

void expect_file(const std::string& path) {
  std::error_code error;
  if (std::filesystem::exists(path, error) || error) return;
  throw Error(ErrorKind::kPlugin, "there is no file ", path,
              "; `pergola plugins list` shows the plugins that were found, with their files");
}

// TOML that can be pasted into a config, with what is known of each key in comments. What cannot
// be printed is escaped in the end: a string may hold anything.
void print_table(const std::string& kind, const char* section, const std::string& key,
                 const ConfigurableManifest& entry) {
  std::cout << "\n# " << kind << ' ' << key << ": " << entry.description << '\n';
  if (entry.hugging_face) {
    std::cout << "# at Hugging Face:";
    for (const auto& each : entry.hugging_face->classes) std::cout << ' ' << each.name;
    std::cout << '\n';
  }
  for (const FieldSpec& field : entry.inputs.fields) {
    std::cout << "# reads " << field_text(field) << '\n';
  }
  std::cout << printable_lines(
      params_as_toml(concat(section, ".", key), entry.config, entry.params));
}

// A component's params stand where the config names it, so they are comments alone.
void print_component(const std::string& kind, const std::string& key,
                     const ConfigurableManifest& entry) {
  std::cout << "\n# " << kind << ' ' << key << ": " << entry.description << '\n';
  for (const ParamSpec& spec : top_specs(entry.params)) {
    const std::string meaning = meaning_text(spec);
    std::cout << "#   " << printable(toml_key(spec.name));
    if (!spec.fallback.is_null()) std::cout << " = " << printable(to_string(spec.fallback));
    std::cout << (meaning.empty() ? "" : "  # ") << meaning << '\n';
  }
}

void print_offers(const PluginManifest& manifest) {
  for (const auto& [key, model] : manifest.models) {
    print_table("model", "model_config", key, model);
  }
  for (const auto& [key, dataset] : manifest.datasets) {
    print_table("data set", "dataset_config", key, dataset);
  }
  for (const auto& [kind, all] : manifest.provides) {
    for (const auto& [key, entry] : all) print_component(kind, key, entry);
  }
}

int inspect(const std::string& path, const TrustPolicy& policy) {
  expect_file(path);
  const PluginFile file = inspect_plugin(path, policy);
  if (!file.manifest) throw Error(ErrorKind::kPlugin, file.problem);
  const PluginManifest& manifest = *file.manifest;
  std::cout << "# " << manifest.name << ' ' << manifest.version << ", " << manifest.license
            << "\n# " << manifest.description << "\n# file " << printable(path) << "\n# sha256 "
            << sha256_file(path, ErrorKind::kPlugin) << '\n';
  if (file.fingerprint) {
    for (const auto& [field, value] : *file.fingerprint) {
      std::cout << "# built with " << field << ' ' << value << '\n';
    }
  }
  if (const std::vector<std::string> needed = needed_of_cuda(file.symbols); !needed.empty()) {
    std::cout << "# loads only where CUDA is, since it needs " << printable(join(needed)) << '\n';
  }
  print_offers(manifest);
  if (!file.usable()) throw Error(ErrorKind::kPlugin, file.problem);
  return 0;
}

CheckRequest check_request(Arguments& arguments) {
  CheckRequest request;
  request.file = take_positional(arguments, "FILE", kPluginsUsage);
  expect_file(request.file);
  expect_output(arguments, request.file.string());
  request.policy = policy_of(arguments);
  request.models = arguments.models;
  request.examinations = arguments.only;
  const auto is_no_change = [](const std::string& word) {
    return word.find('=') == std::string::npos;
  };
  const auto surplus = std::ranges::find_if(arguments.positional, is_no_change);
  if (surplus != arguments.positional.end()) {
    throw Error(ErrorKind::kConfig, "'", printable(*surplus),
                "' is one word too many; usage: ", kPluginsUsage);
  }
  request.overrides = parse_overrides(arguments.positional);
  constexpr std::int64_t kMostSeconds = 1'000'000;  // so that no clock overflows
  if (arguments.seconds) {
    request.time_limit = std::chrono::seconds(std::min(*arguments.seconds, kMostSeconds));
  }
  return request;
}

void print_plan(const CheckRequest& request) {
  for (const PlannedExamination& each : planned(request)) {
    std::cout << each.model << '\t' << each.examination << '\t' << each.question << '\n';
  }
}

// The report goes to --output or stdout. Where stdout is free, people read there what is found as
// soon as it is.
CheckReport examine(const CheckRequest& request, const Arguments& arguments) {
  const bool is_told = tells_on_stdout(arguments);
  std::string model;
  const CheckReport report = check_plugin(request, [&](const Examined& examined) {
    if (is_told) std::cout << as_lines(examined, model) << std::flush;
  });
  if (is_told) std::cout << as_summary(report);
  write_report(arguments, arguments.format == "text"   ? as_text(report)
                          : arguments.format == "json" ? as_json(report)
                                                       : as_junit(report));
  return report;
}

int check(Arguments& arguments) {
  const CheckRequest request = check_request(arguments);
  if (arguments.list) {
    print_plan(request);
    return 0;
  }
  const bool is_good = examine(request, arguments).count(Verdict::kFailed) == 0;
  return is_good ? 0 : static_cast<int>(ErrorKind::kPlugin);
}

// What is to be trusted: those that are named, or all that were found.
std::vector<PluginFile> files_to_trust(const Arguments& arguments) {
  // It is the user who vouches for them here, whoever else could write them.
  const TrustPolicy anybody{Trust::kAny, {}, {}};
  if (arguments.positional.empty()) {
    return scan_plugins(arguments.plugin_path, anybody).files();
  }
  std::vector<PluginFile> files;
  for (const std::string& path : arguments.positional) {
    expect_file(path);
    files.push_back(inspect_plugin(path, anybody));
  }
  return files;
}

// All or none: a file that cannot be loaded leaves the lock file as it was.
int trust(const Arguments& arguments) {
  const std::filesystem::path path = arguments.lock_file.value_or(kLockFile);
  std::error_code error;
  PluginLock lock = std::filesystem::exists(path, error) ? PluginLock::read(path) : PluginLock();
  std::string told;
  for (const PluginFile& file : files_to_trust(arguments)) {
    if (!file.usable()) throw Error(ErrorKind::kPlugin, file.problem);
    LockedPlugin plugin{file.manifest->name, file.manifest->version,
                        sha256_file(file.path, ErrorKind::kPlugin)};
    const LockedPlugin* before = lock.find(plugin.name);
    const char* what = before == nullptr                 ? "added"
                       : before->sha256 == plugin.sha256 ? "unchanged"
                                                         : "replaced";
    told += concat(what, '\t', plugin.name, ' ', plugin.version, '\t', plugin.sha256, '\t',
                   printable(file.path.string()), '\n');
    lock.set(std::move(plugin));
  }
  if (lock.plugins().empty()) {
    throw Error(ErrorKind::kPlugin,
                "no plugin was found to trust; name a file, or a folder with "
                "--plugin-path");
  }
  write_file_atomic(path, lock.text(), ErrorKind::kPlugin);
  std::cout << told;
  return 0;
}

}  // namespace

int plugins_command(const Words& words) {
  const auto has = [&](const char* word) { return std::ranges::find(words, word) != words.end(); };
  const bool is_check = !has("list") && !has("inspect") && !has("trust");
  Arguments arguments =
      parse_arguments(words, kPluginsUsage, is_check ? Options::kCheck : Options::kTrust);
  if (arguments.help) return 0;
  const std::string verb =
      take_positional(arguments, "`list`, `inspect`, `check` or `trust`", kPluginsUsage);
  if (verb == "list") {
    expect_no_more(arguments, kPluginsUsage);
    return list_plugins(arguments);
  }
  if (verb == "trust") return trust(arguments);
  if (verb == "check") return check(arguments);
  if (verb != "inspect") {
    throw Error(ErrorKind::kConfig, "'", verb, "' is not known",
                did_you_mean(verb, {"list", "inspect", "check", "trust"}),
                "; usage: ", kPluginsUsage);
  }
  const std::string path = take_positional(arguments, "FILE", kPluginsUsage);
  expect_no_more(arguments, kPluginsUsage);
  return inspect(path, policy_of(arguments));
}

}  // namespace pergola::host
