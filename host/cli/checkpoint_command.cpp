// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/run/checkpoints.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <filesystem>
#include <iostream>

namespace pergola::host {
namespace {

constexpr const char* kUsage = "pergola checkpoint inspect PATH | verify DIR | convert IN OUT";

int verify(const std::string& path) {
  std::string problem;
  for (const CheckedFile& file : verify_files(path)) {
    const char* state = file.missing ? "MISSING" : file.problem.empty() ? "ok" : "BAD";
    std::cout << state << '\t' << file.size << '\t' << file.hash << '\t' << file.name << '\n';
    if (problem.empty()) problem = file.problem;
  }
  if (!problem.empty()) throw Error(ErrorKind::kCheckpoint, problem);
  return 0;
}

}  // namespace

int checkpoint_command(const Words& words) {
  Arguments arguments = parse_arguments(words, kUsage, Options::kPlugins);
  if (arguments.help) return 0;
  const std::string verb = take_positional(arguments, "`inspect`, `verify` or `convert`", kUsage);
  const std::string path = take_positional(arguments, "the path", kUsage);
  const bool convert = verb == "convert";
  const std::string out = convert ? take_positional(arguments, "OUT", kUsage) : "";
  expect_no_more(arguments, kUsage);
  if (verb == "verify") return verify(path);
  if (verb == "inspect") {
    std::cout << printable_lines(describe_checkpoint(path));  // names of tensors may be anything
    return 0;
  }
  if (convert) {
    std::cout << printable_lines(convert_checkpoint(path, out));
    return 0;
  }
  throw Error(ErrorKind::kConfig, "'", verb, "' is not known",
              did_you_mean(verb, {"inspect", "verify", "convert"}), "; usage: ", kUsage);
}

}  // namespace pergola::host
