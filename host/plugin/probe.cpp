// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/probe.h"

#include "host/plugin/probe_child.h"
#include "host/support/hash.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <chrono>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

using std::chrono::milliseconds;

// What a static constructor threw, by the guard of PluginLoader; "" when that is not how it ended.
std::string thrown_while_loaded(const ChildEnd& end) {
  const bool by_guard = end.how == ChildEnd::How::kExited &&
                        end.number == static_cast<int>(ErrorKind::kPlugin) &&
                        end.last_line.find(" threw in a static constructor: ") != std::string::npos;
  return by_guard ? end.last_line : "";
}

// The whole sentence.
std::string accuse(const PluginFile& file, const std::string& what, const TrialReport& told,
                   const std::string& last_line) {
  const std::string when = told.model.empty() ? std::string("while it was loaded")
                                              : concat("while its model '", told.model, "' was ",
                                                       told.is_made ? "destroyed" : "made");
  const std::string said =
      last_line.empty() ? std::string() : concat(" (the last that it wrote: ", last_line, ")");
  return concat("plugin ", file.manifest->name, " (", printable(file.path.string()), ") ", what,
                ' ', when, said,
                "; it was tried in a process of its own, and does not get into this one; to look "
                "at it in a debugger: `gdb --args pergola train CONFIG plugins.probe=false`");
}

std::string problem_of_end(const PluginFile& file, const ChildEnd& end, const ChildLimits& limits) {
  const TrialReport told = TrialReport::parse(end.report);
  if (end.how == ChildEnd::How::kReturned && !told.no_memory) return told.problem;
  std::string thrown = thrown_while_loaded(end);
  if (thrown.empty()) return accuse(file, describe_end(end, limits), told, end.last_line);
  if (thrown.find("std::bad_alloc") == std::string::npos) return thrown;
  return accuse(file, describe_end({}, limits), told, "");
}

std::string hash_of(const PluginFile& file) {
  try {
    return sha256_file(file.path, ErrorKind::kPlugin);
  } catch (const Error& error) {  // the try will say what is wrong with it
    log::debug("[plugin] ", error.what());
    return "";
  }
}

}  // namespace

ProbeResult probe_plugin(const PluginFile& file, const TrustPolicy& policy,
                         const ChildLimits& limits) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    const ChildEnd end = run_in_child(
        [&](const ChildReport& report) { try_plugin(file.path, policy, report); }, limits);
    ProbeResult result{true, problem_of_end(file, end, limits)};
    const auto spent = std::chrono::round<milliseconds>(std::chrono::steady_clock::now() - begin);
    log::debug("[plugin] tried ", file.manifest->name, " in a process of its own: ",
               result.problem.empty() ? "nothing is wrong" : "refused", ", ", spent.count(), " ms");
    return result;
  } catch (const std::system_error& error) {
    log::warning("[plugin] ", file.manifest->name,
                 " is loaded without being tried in a process of its own, which cannot be made: ",
                 error.what());
    return {false, ""};
  }
}

PluginProber::PluginProber(TrustPolicy policy, Failures failures,
                           const std::filesystem::path& cache, ChildLimits limits)
    : policy_(std::move(policy)), failures_(failures), cache_(cache), limits_(limits) {}

// What is wrong is told with the file's path, so that of another path is of no use.
bool PluginProber::is_known(const ProbedFile* known, const PluginFile& file) const {
  if (known == nullptr || known->problem.empty()) return known != nullptr;
  return failures_ == Failures::kBelieve && known->path == file.path.string();
}

std::string PluginProber::problem_of(const PluginFile& file) {
  const ProbedFile* known = cache_.find(*file.identity);
  if (is_known(known, file)) return known->problem;
  ProbedFile found{*file.identity, hash_of(file), file.path.string(), ""};
  known = cache_.find_content(found.sha256);
  if (is_known(known, file)) {
    found.problem = known->problem;
  } else {
    ++tried_;
    ProbeResult result = probe_plugin(file, policy_, limits_);
    if (!result.tried) return "";
    found.problem = std::move(result.problem);
  }
  // Of a file that changed meanwhile nobody knows what was hashed, and what was tried.
  std::string problem = found.problem;
  if (identify(file.path) == file.identity && !found.sha256.empty()) cache_.add(std::move(found));
  return problem;
}

}  // namespace pergola::host
