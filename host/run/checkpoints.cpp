// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/checkpoints.h"

#include "host/checkpoint/checkpoint.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <sstream>

namespace pergola::host {
namespace {

void describe(const char* title, const StateDict& tensors, std::ostringstream& out) {
  std::int64_t elements = 0;
  for (const auto& [name, tensor] : tensors) elements += tensor.numel();
  out << title << ": " << tensors.size() << " tensors, " << elements << " elements\n";
  for (const auto& [name, tensor] : tensors) {
    out << "  " << name << '\t' << tensor.scalar_type() << '\t' << tensor.sizes() << '\n';
  }
}

}  // namespace

std::vector<CheckedFile> verify_files(const std::filesystem::path& folder) {
  const CheckpointReport report = verify_checkpoint(folder);
  if (!report.problem.empty()) throw Error(ErrorKind::kCheckpoint, report.problem);
  std::vector<CheckedFile> files;
  for (const FileReport& file : report.files) {
    files.push_back(
        {file.name, file.expected.size, file.expected.xxh3, file.problem, file.missing});
  }
  return files;
}

std::string describe_checkpoint(const std::filesystem::path& folder) {
  const CheckpointContent content = load_checkpoint(folder);
  std::ostringstream out;
  for (const auto& [key, value] : content.state.as_table()) {
    // The config is a file of its own; here its text would hide the rest.
    if (key == "config") continue;
    out << key << " = " << to_string(value) << '\n';
  }
  describe("model", content.model, out);
  describe("trainer", content.trainer, out);
  return std::move(out).str();
}

}  // namespace pergola::host
