// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/checkpoints.h"

#include "host/checkpoint/checkpoint.h"
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/store.h"
#include "host/checkpoint/weights.h"
#include "host/config/toml.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <c10/util/accumulate.h>

#include <sstream>
#include <system_error>

namespace pergola::host {
namespace {

// Memory that tensors share counts for each.
void describe(const char* title, const std::vector<WeightEntry>& tensors, std::ostringstream& out) {
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
  for (const WeightEntry& tensor : tensors) {
    elements += c10::multiply_integers(tensor.shape);
    bytes += c10::multiply_integers(tensor.shape) *
             static_cast<std::int64_t>(c10::elementSize(tensor.dtype));
  }
  out << title << ": " << tensors.size() << " tensors, " << elements << " elements, " << bytes
      << " bytes\n";
  for (const WeightEntry& tensor : tensors) {
    out << "  " << tensor.name << '\t' << tensor.dtype << '\t' << at::IntArrayRef(tensor.shape)
        << '\n';
  }
}

std::vector<WeightEntry> entries_of(const StateDict& state) {
  std::vector<WeightEntry> entries;
  for (const auto& [name, tensor] : state) {
    entries.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
  }
  return entries;
}

void describe(const Value& metadata, std::ostringstream& out) {
  for (const auto& [key, value] : metadata.as_table()) {
    // The config is a file of its own; its text, and vocabularies, would hide the rest here.
    if (key == "config" || key == "data") continue;
    out << key << " = " << to_string(value) << '\n';
  }
}

}  // namespace

std::vector<CheckedFile> verify_files(const std::filesystem::path& path) {
  std::vector<CheckedFile> files;
  const auto add = [&](const CheckpointReport& report, const std::string& prefix) {
    for (const FileReport& file : report.files) {
      files.push_back(
          {prefix + file.name, file.expected.size, file.expected.xxh3, file.problem, file.missing});
    }
  };
  if (!is_run_folder(path)) {
    const CheckpointReport report = verify_checkpoint(path);
    if (!report.problem.empty()) throw Error(ErrorKind::kCheckpoint, report.problem);
    add(report, "");
    return files;
  }
  const CheckpointStore store(path);
  for (const std::string& name : store.names()) {
    const CheckpointReport report = verify_checkpoint(store.root() / name);
    // One that is bad hides no other.
    if (!report.problem.empty())
      files.push_back({concat(name, "/", kManifestFile), 0, "-", report.problem});
    add(report, name + "/");
  }
  if (files.empty()) {
    throw Error(ErrorKind::kCheckpoint, "there is no checkpoint in ", store.root().string(),
                "; train first, or name another run");
  }
  return files;
}

std::string describe_checkpoint(const std::filesystem::path& named) {
  const std::filesystem::path path = checkpoint_at(named);
  std::ostringstream out;
  if (path != named) out << "checkpoint = " << path << '\n';
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error) || is_hugging_face_folder(path)) {
    const WeightsFile file = open_weights(path);
    out << "format: " << file.format << '\n';
    describe(file.metadata, out);
    describe("weights", file.tensors, out);
    return std::move(out).str();
  }
  const CheckpointContent content = load_checkpoint(path);
  describe(content.state, out);
  describe("model", entries_of(content.model), out);
  describe("trainer", entries_of(content.trainer), out);
  return std::move(out).str();
}

Value saved_config(const Value& state, const std::filesystem::path& folder) {
  const std::string file = (folder / kStateFile).string();
  const Value* const text = state.find("config");
  if (text != nullptr && text->is_string()) {
    return parse_toml(text->as_string(), file, ErrorKind::kCheckpoint);
  }
  throw Error(ErrorKind::kCheckpoint, file, " has no config; use another checkpoint");
}

namespace {

// Whether the run whose config is `root` began with the checkpoint, or run, at `path`.
bool began_with(const Value& root, const std::filesystem::path& path) {
  const Value* const from = root.find("checkpoint.pretrained");
  if (from == nullptr || !from->is_string()) return false;
  const std::filesystem::path rest =
      std::filesystem::path(from->as_string()).lexically_relative(path);
  return !rest.empty() && *rest.begin() != "..";
}

}  // namespace

SavedModel read_saved_model(const std::filesystem::path& path,
                            const std::filesystem::path& run_dir) {
  std::error_code error;
  const bool is_there = std::filesystem::exists(path, error);
  const std::filesystem::path folder = checkpoint_at(is_there ? path : run_dir);
  const auto refuse = [&](const char* problem) {
    return Error(ErrorKind::kConfig, "model.pretrained = '", path.string(), problem,
                 ", so it does not say which model it is of; name a checkpoint or a run, or say ",
                 "whose weights the path has: model = {type = \"name\", pretrained = \"path\"}");
  };
  if (!std::filesystem::exists(folder / kManifestFile, error)) {
    throw refuse(is_there ? "' is no checkpoint of Pergola" : "' does not exist");
  }
  const Value state = load_checkpoint(folder, CheckpointParts::kState).state;
  const Value root = saved_config(state, folder);
  if (!is_there && !began_with(root, path)) throw refuse("' does not exist");
  const Value* const model = root.find("model");
  if (model == nullptr || !model->is_string()) {
    throw Error(ErrorKind::kCheckpoint, (folder / kStateFile).string(),
                " has a config without a model; use another checkpoint");
  }
  const Value* const config = root.find(concat("model_config.", model->as_string()));
  const bool known = config != nullptr && config->is_table();
  return {folder, model->as_string(), known ? *config : Value(Value::Table{})};
}

}  // namespace pergola::host
