// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/loader.h"

#include "pergola/error.h"

#include <algorithm>
#include <utility>

namespace pergola::host {

DataLoader::DataLoader(const Dataset& dataset, LoaderOptions options)
    : maker_(dataset, std::move(options)), next_batch_(maker_.num_batches()) {
  PERGOLA_ASSERT(maker_.options().num_workers >= 0 && maker_.options().prefetch > 0);
}

void DataLoader::start_epoch(std::int64_t epoch, std::int64_t first_batch) {
  PERGOLA_ASSERT(first_batch >= 0 && first_batch <= num_batches());
  prefetcher_.reset();
  epoch_ = epoch;
  next_batch_ = first_batch;
  const std::int64_t workers = std::min(options().num_workers, num_batches() - first_batch);
  if (first_batch < num_batches()) order_ = maker_.order(epoch);
  if (workers == 0) return;
  const auto make = [this](std::int64_t batch, const std::stop_token& stop) {
    keep_aten_to_this_thread();
    return maker_.make(order_, epoch_, batch, stop);
  };
  prefetcher_ = std::make_unique<Prefetcher<SampleList>>(make, first_batch, num_batches(), workers,
                                                         workers * options().prefetch);
}

std::optional<SampleList> DataLoader::next() {
  return next_or_throw(prepare_failed_, [this]() -> std::optional<SampleList> {
    if (prefetcher_) return prefetcher_->next();
    if (next_batch_ >= num_batches()) return std::nullopt;
    return maker_.make(order_, epoch_, next_batch_++, std::stop_token());
  });
}

}  // namespace pergola::host
