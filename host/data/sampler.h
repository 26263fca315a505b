// SPDX-License-Identifier: BSD-3-Clause
// Which samples make which batch: computed from (seed, epoch), never stored, so that a run resumes
// from two integers. No state; thread-safe.
#pragma once

#include <cstdint>
#include <vector>

namespace pergola::host {

enum class Shuffle { kNo, kYes };
enum class LastBatch { kKeep, kDrop };  // of an epoch, when it is smaller than the others

// The indices 0 .. size-1 in the order of this epoch: one and the same for (seed, epoch) when
// shuffled, ascending otherwise.
[[nodiscard]] std::vector<std::int64_t> sample_order(std::int64_t size, Shuffle shuffle,
                                                     std::uint64_t seed, std::int64_t epoch);

// Batches in an epoch.  REQUIRES: size >= 0, batch_size > 0.
[[nodiscard]] std::int64_t count_batches(std::int64_t size, std::int64_t batch_size,
                                         LastBatch last_batch);

}  // namespace pergola::host
