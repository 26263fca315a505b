// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/probe_child.h"

#include "host/config/size_facts.h"
#include "host/plugin/library.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/registry.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

// The lines of a report. What follows kProblem is its text up to the end, which may have lines of
// its own.
constexpr std::string_view kModel = "model ";
constexpr std::string_view kDestroyed = "destroyed";
constexpr std::string_view kNoMemory = "no memory";
constexpr std::string_view kProblem = "problem ";

// As a small data set would fill them in: a model may divide by its sizes.
Value filled_in(Value config) {
  constexpr std::int64_t kSmall = 2;
  for (auto& [key, value] : config.as_table()) {
    if (is_size_fact(key) && value == Value(0)) value = kSmall;
  }
  return config;
}

void make(const Registry& registry, const std::string& key, const Value& config,
          const ChildReport& report) {
  try {
    auto model = registry.make_model(key, Config(filled_in(config), "model_config." + key));
    report.line(kDestroyed);
    model.reset();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (...) {  // for the run to see, with the config that it has
  }
}

std::filesystem::path working_folder() {
  std::error_code ignored;
  return std::filesystem::current_path(ignored);
}

// Throws when the plugin has done what would let the host write into other files than it means to.
void expect_no_harm(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const std::string plugin = concat("plugin ", printable(path.string()));
  for (const auto& [fd, name] : {std::pair(STDOUT_FILENO, "stdout"), {STDERR_FILENO, "stderr"}}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    throw Error(ErrorKind::kPlugin, plugin, " closes ", name,
                " while it is loaded, and what the program says would get into the next file that "
                "is opened; leave it open");
  }
  if (const std::filesystem::path now = working_folder(); now != folder) {
    throw Error(ErrorKind::kPlugin, plugin, " goes to ", printable(now.string()),
                " while it is loaded, and the relative paths of the run would name other files; "
                "leave the working directory as it is");
  }
}

void load_and_make(const std::filesystem::path& path, const TrustPolicy& policy,
                   const ChildReport& report) {
  const std::filesystem::path folder = working_folder();
  Registry registry;
  PluginLoader loader(registry, policy);
  const PluginManifest& manifest = loader.load(path).manifest;
  for (const auto& [key, model] : manifest.models) {
    report.line(concat(kModel, key));
    make(registry, key, model.config, report);
  }
  expect_no_harm(path, folder);
}

}  // namespace

void try_plugin(const std::filesystem::path& path, const TrustPolicy& policy,
                const ChildReport& report) noexcept {
  init_log(LogLevel::kError);  // without the run's log file
  try {
    load_and_make(path, policy, report);
  } catch (const std::bad_alloc&) {
    report.line(kNoMemory);
  } catch (const Error& error) {
    report.line(concat(kProblem, error.what()));
  } catch (const std::exception& error) {
    report.line(concat(kProblem, "plugin ", printable(path.string()),
                       " cannot be loaded: ", printable(error.what())));
  }
}

TrialReport TrialReport::parse(const std::string& report) {
  TrialReport told;
  std::string_view rest = report;
  while (!rest.empty()) {
    if (rest.starts_with(kProblem)) {
      told.problem = rest.substr(kProblem.size());
      told.problem.erase(told.problem.find_last_not_of('\n') + 1);
      break;
    }
    const std::string_view line = rest.substr(0, rest.find('\n'));
    if (line.starts_with(kModel)) told.model = printable(line.substr(kModel.size()));
    if (line.starts_with(kModel)) told.is_made = false;
    if (line == kDestroyed) told.is_made = true;
    if (line == kNoMemory) told.no_memory = true;
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  return told;
}

}  // namespace pergola::host
