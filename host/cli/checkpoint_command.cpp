// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/run/checkpoints.h"
#include "host/run/plugins.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string_view>

namespace pergola::host {
namespace {

constexpr const char* kCheckpointUsage =
    "pergola checkpoint inspect PATH | verify PATH | convert [--to safetensors | --to torch] IN "
    "OUT | convert --to hf IN OUT [key=value ...]";

// What files of torch.save are called.
constexpr std::string_view kTorchEndings[] = {".pt", ".pth", ".bin", ".ckpt"};

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

// The word that --to would be, when it is not said.
const char* format_by_name(const std::filesystem::path& out) {
  const bool is_torch = std::ranges::count(kTorchEndings, out.extension().string()) > 0;
  return is_torch ? "torch" : "safetensors";
}

std::string convert(Arguments arguments, const std::string& path) {
  const std::string out = take_positional(arguments, "OUT", kCheckpointUsage);
  const std::string to = arguments.to.value_or(format_by_name(out));
  if (to == "hf") {
    const std::vector<Override> words = parse_overrides(arguments.positional);
    return convert_to_hugging_face(path, out, scan_plugins(arguments.plugin_path), words);
  }
  if (to != "safetensors" && to != "torch") {
    throw Error(ErrorKind::kConfig, "--to ", to, " is not known",
                did_you_mean(to, {"hf", "safetensors", "torch"}), "; usage: ", kCheckpointUsage);
  }
  expect_no_more(arguments, kCheckpointUsage);
  return convert_checkpoint(path, out,
                            to == "torch" ? WeightsFormat::kTorch : WeightsFormat::kSafetensors);
}

}  // namespace

int checkpoint_command(const Words& words) {
  Arguments arguments = parse_arguments(words, kCheckpointUsage, Options::kConvert);
  if (arguments.help) return 0;
  const std::string verb =
      take_positional(arguments, "`inspect`, `verify` or `convert`", kCheckpointUsage);
  const std::string path = take_positional(arguments, "the path", kCheckpointUsage);
  if (verb == "convert") {
    std::cout << printable_lines(convert(std::move(arguments), path));
    return 0;
  }
  expect_no_more(arguments, kCheckpointUsage);
  if (arguments.to) {
    throw Error(ErrorKind::kConfig, "--to is of `convert`, not of `", verb,
                "`; usage: ", kCheckpointUsage);
  }
  if (verb == "verify") return verify(path);
  if (verb == "inspect") {
    std::cout << printable_lines(describe_checkpoint(path));  // names of tensors may be anything
    return 0;
  }
  throw Error(ErrorKind::kConfig, "'", verb, "' is not known",
              did_you_mean(verb, {"inspect", "verify", "convert"}), "; usage: ", kCheckpointUsage);
}

}  // namespace pergola::host
