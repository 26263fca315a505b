// SPDX-License-Identifier: BSD-3-Clause
// What the files of a checkpoint are called, and the checkpoints of a run. No LibTorch and nothing
// to link here: for who looks at these files from outside, too. No state; thread-safe.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace pergola::host {

inline constexpr const char* kModelFile = "model.safetensors";
inline constexpr const char* kTrainerFile = "trainer.safetensors";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kManifestFile = "MANIFEST.json";

// All of a checkpoint's files. The manifest comes last: a folder that has it has the others.
inline constexpr const char* kCheckpointFiles[] = {kModelFile, kTrainerFile, kStateFile,
                                                   kManifestFile};

// What comes before the number in the name of a checkpoint of an update, and of the next best ones.
inline constexpr std::string_view kUpdatePrefix = "update_";
inline constexpr std::string_view kBestPrefix = "best_";

// The number in a name such as "update_00001000"; nothing of one in another form.
[[nodiscard]] inline std::optional<std::int64_t> number_after(std::string_view prefix,
                                                              std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  std::int64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 0) return std::nullopt;
  return number;
}

}  // namespace pergola::host
