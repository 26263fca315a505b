// SPDX-License-Identifier: BSD-3-Clause
// Looks for the batch size with which a training is fast: it doubles the size as long as there is
// memory for it and it makes the training faster. The search alone; who uses it makes the updates.
// Main thread. No LibTorch here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// What updates with one batch size were like.
struct BatchSizeTrial {
  std::int64_t batch_size = 0;
  double samples_per_second = 0;
  std::int64_t bytes = 0;  // that they took at most; 0: not known
};

struct BatchSizeSearch {
  std::string key = "training.batch_size";  // for messages
  std::int64_t first = 2;                   // batch size to begin with
  std::int64_t samples = 0;                 // of the training split: no batch is larger
  double least_gain = 0.05;                 // of samples a second, for twice the size
  // Makes updates with that batch size; nothing when they ran out of memory.
  std::function<std::optional<BatchSizeTrial>(std::int64_t batch_size)> measure;
  // Bytes that a trial may take; nothing where running out of memory is harmless, as on a GPU. On
  // the CPU the system would end the process.
  std::function<std::optional<std::int64_t>()> room = [] { return std::nullopt; };
};

struct BatchSizeFindings {
  std::vector<BatchSizeTrial> trials;
  std::int64_t suggestion = 0;  // the last size that was at least so much faster than half of it
  std::string end;              // why no larger one was tried or is suggested, for the user
};

// Throws Error{kConfig} when the first size is already larger than the split or the memory.
[[nodiscard]] BatchSizeFindings find_batch_size(const BatchSizeSearch& search);

}  // namespace pergola::host
