// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/sampler.h"

#include "pergola/error.h"
#include "pergola/rng.h"

#include <numeric>

namespace pergola::host {

std::vector<std::int64_t> sample_order(std::int64_t size, Shuffle shuffle, std::uint64_t seed,
                                       std::int64_t epoch) {
  PERGOLA_ASSERT(size >= 0);
  if (shuffle == Shuffle::kYes) return permutation(size, seed, static_cast<std::uint64_t>(epoch));
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  return order;
}

std::int64_t count_batches(std::int64_t size, std::int64_t batch_size, LastBatch last_batch) {
  PERGOLA_ASSERT(size >= 0 && batch_size > 0);
  const std::int64_t whole = size / batch_size;
  return last_batch == LastBatch::kKeep && size % batch_size != 0 ? whole + 1 : whole;
}

}  // namespace pergola::host
