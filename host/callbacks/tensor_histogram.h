// SPDX-License-Identifier: BSD-3-Clause
// How the numbers of a tensor are distributed. No state; thread-safe.
#pragma once

#include "host/train/event_message.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace pergola::host {

inline constexpr std::int64_t kHistogramBuckets = 64;

// Of all finite numbers in `tensor`, on any device, in buckets of one width between the least and
// the greatest of them; one bucket when they are all the same. Nothing when there is no such number
// or the range is beyond float64. Takes the time of reading the tensor a few times, in pieces, so
// that a large one needs little memory.
[[nodiscard]] std::optional<Histogram> histogram_of(const at::Tensor& tensor);

}  // namespace pergola::host
