// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/checkpoint.h"

#include "host/checkpoint/manifest.h"
#include "host/checkpoint/safetensors.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVersionKey = "format_version";
// Folders, the manifest and the file system's own tables; generous, since it costs nothing.
constexpr std::uint64_t kSlackBytes = std::uint64_t{64} << 10;
constexpr std::uint64_t kMostStateBytes = 1'000'000'000;

// What tools of the PyTorch world look for before they read a file.
SafetensorsMetadata metadata() { return {{"format", "pt"}}; }

// state.json, as text that is known to be readable again.
std::string encode_state(const Value& state, const fs::path& folder) {
  PERGOLA_ASSERT(state.is_table());
  Value root = state;
  root[kVersionKey] = kCheckpointFormatVersion;
  std::string text = to_json(root, 2) + "\n";
  if (text.size() > kMostStateBytes) {
    throw Error(ErrorKind::kCheckpoint, "cannot save the checkpoint ", folder.string(), ": its ",
                kStateFile, " would have ", text.size(), " bytes, more than the ", kMostStateBytes,
                " allowed; keep large data in tensors");
  }
  // A hook may have added anything; better to hear of it now than when the run is to be resumed.
  static_cast<void>(from_json(text, (folder / kStateFile).string(), ErrorKind::kCheckpoint));
  return text;
}

void check_space(const fs::path& folder, const CheckpointContent& content,
                 std::uint64_t state_size) {
  const std::uint64_t needed =
      safetensors_size(content.model, metadata(), folder / kModelFile) +
      safetensors_size(content.trainer, metadata(), folder / kTrainerFile) + state_size +
      kSlackBytes;
  const std::uint64_t free = free_space(folder);
  if (needed <= free) return;
  throw Error(ErrorKind::kCheckpoint, "cannot save the checkpoint ", folder.string(), ": it needs ",
              needed, " bytes and ", free, " are free; free some space there, or choose another ",
              "env.save_dir");
}

template <class Write>
FileDigest write_synced(const fs::path& file, const SaveHooks& hooks, const Write& write) {
  const UniqueFd fd = create_file(file);
  FileDigest digest = write(fd.get());
  hooks.reached(file.filename().string() + " written");
  sync_fd(fd.get(), file);
  hooks.reached(file.filename().string() + " synced");
  return digest;
}

FileDigest write_tensors(const fs::path& file, const StateDict& state, const SaveHooks& hooks) {
  return write_synced(file, hooks,
                      [&](int fd) { return stream_safetensors(fd, state, metadata(), file); });
}

FileDigest write_text(const fs::path& file, const std::string& text, const SaveHooks& hooks) {
  return write_synced(file, hooks, [&](int fd) {
    DigestWriter writer(fd, file);
    writer.write(text);
    return writer.digest();
  });
}

FileReport check_file(const fs::path& file, const std::string& name, const FileDigest& expected) {
  FileReport report{name, "", /*missing=*/false, expected, std::nullopt};
  std::error_code code;
  if (!fs::exists(file, code) && !code) {
    report.missing = true;
    report.problem = file.string() + " is missing; use another checkpoint";
    return report;
  }
  try {
    // Opened first: the message for what cannot be read at all is the better one.
    static_cast<void>(open_file(file, ErrorKind::kCheckpoint));
    FileDigest& found = report.found.emplace(FileDigest{fs::file_size(file), ""});
    if (found.size != expected.size) {
      report.problem = concat(file.string(), " is damaged: it has ", found.size, " bytes, and ",
                              kManifestFile, " says ", expected.size, "; use another checkpoint");
      return report;
    }
    found.xxh3 = xxh3_file(file, ErrorKind::kCheckpoint);
    if (found != expected) {
      report.problem =
          concat(file.string(), " is damaged: its XXH3-128 hash is ", found.xxh3, ", and ",
                 kManifestFile, " says ", expected.xxh3, "; use another checkpoint");
    }
  } catch (const Error& error) {
    report.problem = error.what();
  } catch (const fs::filesystem_error& error) {
    report.problem = file_error(ErrorKind::kCheckpoint, "read", file, error.code().value()).what();
  }
  return report;
}

Value read_state(const fs::path& file) {
  Value state = from_json(read_file(file, ErrorKind::kCheckpoint, kMostStateBytes), file.string(),
                          ErrorKind::kCheckpoint);
  check_format_version(state, file);
  state.as_table().erase(kVersionKey);
  return state;
}

void check_is_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  throw Error(ErrorKind::kCheckpoint, "there is no checkpoint folder ", folder.string(),
              fs::exists(folder, error) ? ": it is a file" : "",
              "; name a folder that holds a MANIFEST.json, such as <run>/checkpoints/last");
}

}  // namespace

void check_replaceable(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return;
  // The old content could not be removed, and stay in the way of the next save.
  if (::faccessat(AT_FDCWD, folder.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    throw file_error(ErrorKind::kCheckpoint, "replace the checkpoint", folder, errno);
  }
  if (fs::is_empty(folder, error) || std::ranges::any_of(kCheckpointFiles, [&](const char* name) {
        return fs::exists(folder / name, error);
      })) {
    return;
  }
  throw Error(ErrorKind::kCheckpoint, "cannot save the checkpoint ", folder.string(),
              ": a folder of this name is there and is no checkpoint; choose another name, or "
              "remove the folder");
}

void save_checkpoint(const fs::path& folder, const CheckpointContent& content,
                     const SaveHooks& hooks) {
  const std::string state = encode_state(content.state, folder);
  check_replaceable(folder);
  check_space(folder, content, state.size());

  StagedFolder staged(folder, hooks);
  Manifest manifest;
  manifest[kModelFile] = write_tensors(staged.path() / kModelFile, content.model, hooks);
  manifest[kTrainerFile] = write_tensors(staged.path() / kTrainerFile, content.trainer, hooks);
  manifest[kStateFile] = write_text(staged.path() / kStateFile, state, hooks);
  write_text(staged.path() / kManifestFile, encode_manifest(manifest), hooks);
  staged.publish();
}

std::string CheckpointReport::first_problem() const {
  if (!problem.empty()) return problem;
  const auto bad =
      std::ranges::find_if(files, [](const auto& file) { return !file.problem.empty(); });
  return bad == files.end() ? "" : bad->problem;
}

CheckpointReport verify_checkpoint(const fs::path& folder) {
  CheckpointReport report;
  try {
    const fs::path present = present_folder(folder);
    check_is_folder(present);
    for (const auto& [name, expected] : read_manifest(present)) {
      report.files.push_back(check_file(present / name, name, expected));
    }
  } catch (const Error& error) {
    report.problem = error.what();
  }
  return report;
}

CheckpointContent load_checkpoint(const fs::path& folder, CheckpointParts parts) {
  const CheckpointReport report = verify_checkpoint(folder);
  if (!report.ok()) throw Error(ErrorKind::kCheckpoint, report.first_problem());
  const fs::path present = present_folder(folder);
  CheckpointContent content;
  if (parts != CheckpointParts::kState) content.model = read_safetensors(present / kModelFile);
  if (parts == CheckpointParts::kAll) content.trainer = read_safetensors(present / kTrainerFile);
  content.state = read_state(present / kStateFile);
  return content;
}

}  // namespace pergola::host
