// SPDX-License-Identifier: BSD-3-Clause
// How much main memory a part of the work takes, and how much it may take. Thread-safe. No LibTorch
// here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace pergola::host {

// Bytes that this process may still take before it, or another one, is ended for it: what the
// system has available, and what the control groups (v2) that it is in leave to it. Nothing where
// the system does not say. `root`: another place of /proc and /sys, for tests.
[[nodiscard]] std::optional<std::int64_t> available_memory(const std::filesystem::path& root = "/");

// How much more memory a part of the work took than there was before it.
class MemoryWatch {
 public:
  // Begins to watch.
  MemoryWatch();

  // Bytes that the process had at most since then, beyond what it had then. 0 where the system does
  // not say.
  [[nodiscard]] std::int64_t peak() const;
  // Bytes that it may have beyond what it had then.
  [[nodiscard]] std::optional<std::int64_t> room() const;

 private:
  std::int64_t before_;
};

}  // namespace pergola::host
