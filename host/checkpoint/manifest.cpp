// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/manifest.h"

#include "host/support/json.h"
#include "pergola/error.h"

#include <algorithm>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostBytes = 1'000'000;  // three names, sizes and hashes
constexpr const char* kOtherCheckpoint = "; use another checkpoint";

const Value* member(const Value& table, const char* key, Value::Type type) {
  if (!table.is_table()) return nullptr;
  const auto it = table.as_table().find(key);
  return it != table.as_table().end() && it->second.type() == type ? &it->second : nullptr;
}

bool is_hash(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Nobody writes a manifest by hand, so from_json's advice to correct it would help nobody.
Value parse(const std::string& text, const fs::path& file) {
  try {
    return from_json(text, file.string(), ErrorKind::kCheckpoint);
  } catch (const Error&) {
    throw Error(ErrorKind::kCheckpoint, file.string(), " is damaged: it is not valid JSON",
                kOtherCheckpoint);
  }
}

FileDigest decode_digest(const Value& files, const char* name, const fs::path& file) {
  const Value* entry = member(files, name, Value::Type::kTable);
  const Value* size = entry ? member(*entry, "size", Value::Type::kInteger) : nullptr;
  const Value* hash = entry ? member(*entry, "xxh3_128", Value::Type::kString) : nullptr;
  if (!size || size->as_integer() < 0 || !hash || !is_hash(hash->as_string())) {
    throw Error(ErrorKind::kCheckpoint, file.string(), " is damaged: it has no size and hash of ",
                name, kOtherCheckpoint);
  }
  return {static_cast<std::uint64_t>(size->as_integer()), hash->as_string()};
}

// A manifest has no hash of its own. It needs none: there is one text for what it says, so that a
// byte of any other value is noticed, be it white space or a letter of an ignored key.
void check_is_canonical(const std::string& text, const Manifest& manifest, const fs::path& file) {
  const std::string expected = encode_manifest(manifest);
  if (text == expected) return;
  const auto [found, written] = std::ranges::mismatch(text, expected);
  throw Error(ErrorKind::kCheckpoint, file.string(), " is damaged: from byte ",
              found - text.begin(), " on it is not the text that is written for what it says",
              kOtherCheckpoint);
}

}  // namespace

void refuse_folder_of_checkpoints(const fs::path& folder) {
  std::error_code error;
  for (const fs::path& parent : {folder / "checkpoints", folder}) {
    for (const char* name : {"last", "best"}) {
      if (!fs::exists(parent / name / kManifestFile, error)) continue;
      throw Error(ErrorKind::kCheckpoint, folder.string(),
                  " is no checkpoint, but has some in it; name one of them, such as ",
                  (parent / name).string());
    }
  }
}

std::string encode_manifest(const Manifest& manifest) {
  Value root = Value::Table{{"format_version", kCheckpointFormatVersion}};
  for (const auto& [name, digest] : manifest) {
    root["files"][name] =
        Value::Table{{"size", static_cast<std::int64_t>(digest.size)}, {"xxh3_128", digest.xxh3}};
  }
  return to_json(root, 2) + "\n";
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path file = folder / kManifestFile;
  std::error_code error;
  // When the system does not say, reading it tells why.
  if (!fs::exists(file, error) && !error) {
    refuse_folder_of_checkpoints(folder);
    throw Error(ErrorKind::kCheckpoint, folder.string(), " has no ", kManifestFile,
                ": it is no checkpoint, or saving it was never finished", kOtherCheckpoint);
  }
  const std::string text = read_file(file, ErrorKind::kCheckpoint, kMostBytes);
  const Value root = parse(text, file);
  check_format_version(root, file);
  const Value* files = member(root, "files", Value::Type::kTable);
  Manifest manifest;
  for (const char* name : {kModelFile, kTrainerFile, kStateFile}) {
    manifest[name] = decode_digest(files ? *files : Value(), name, file);
  }
  if (files->as_table().size() != manifest.size()) {
    throw Error(ErrorKind::kCheckpoint, file.string(), " is damaged: it lists ",
                files->as_table().size(), " files, expected ", manifest.size(), kOtherCheckpoint);
  }
  check_is_canonical(text, manifest, file);
  return manifest;
}

void check_format_version(const Value& table, const fs::path& file) {
  const Value* version = member(table, "format_version", Value::Type::kInteger);
  if (!version) {
    throw Error(ErrorKind::kCheckpoint, file.string(), " is damaged: it has no format_version",
                kOtherCheckpoint);
  }
  if (version->as_integer() != kCheckpointFormatVersion) {
    throw Error(ErrorKind::kCheckpoint, file.string(), " has format_version ",
                version->as_integer(), ", and this Pergola reads ", kCheckpointFormatVersion,
                "; use the version of Pergola that saved it");
  }
}

}  // namespace pergola::host
