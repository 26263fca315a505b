// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/loader.h"

#include "pergola/error.h"
#include "pergola/rng.h"

#include <ATen/Parallel.h>

#include <dlfcn.h>

#include <algorithm>
#include <utility>

namespace pergola::host {
namespace {

// Makes ATen work on this thread alone: a batch's copies are too small to share, and teams of
// threads under each worker would take the cores from the training. at::set_num_threads would
// change the whole process, so OpenMP is asked itself, the copy that LibTorch brings along.
void keep_to_this_thread() {
  static thread_local const bool done = [] {
    (void)
        at::get_num_threads();  // ATen sets this thread's number at its first use, and never again
    using SetThreads = void (*)(int);
    const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
    if (set != nullptr) set(1);
    return true;
  }();
  (void)done;
}

}  // namespace

DataLoader::DataLoader(const Dataset& dataset, LoaderOptions options)
    : dataset_(dataset),
      options_(std::move(options)),
      num_batches_(count_batches(dataset.size(), options_.batch_size, options_.last_batch)),
      next_batch_(num_batches_) {
  PERGOLA_ASSERT(options_.num_workers >= 0 && options_.prefetch > 0);
}

void DataLoader::start_epoch(std::int64_t epoch, std::int64_t first_batch) {
  PERGOLA_ASSERT(first_batch >= 0 && first_batch <= num_batches_);
  prefetcher_.reset();
  epoch_ = epoch;
  next_batch_ = first_batch;
  order_ = sample_order(dataset_.size(), options_.shuffle, options_.seed, epoch);
  const std::int64_t workers = std::min(options_.num_workers, num_batches_ - first_batch);
  if (workers == 0) return;
  const auto make = [this](std::int64_t batch, const std::stop_token& stop) {
    keep_to_this_thread();
    return make_batch(batch, stop);
  };
  prefetcher_ = std::make_unique<Prefetcher<SampleList>>(make, first_batch, num_batches_, workers,
                                                         workers * options_.prefetch);
}

std::optional<SampleList> DataLoader::next() {
  if (prefetcher_) return prefetcher_->next();
  if (next_batch_ >= num_batches_) return std::nullopt;
  return make_batch(next_batch_++, std::stop_token());
}

SampleList DataLoader::make_batch(std::int64_t batch, const std::stop_token& stop) const {
  const std::int64_t begin = batch * options_.batch_size;
  const std::int64_t end = std::min(begin + options_.batch_size, dataset_.size());
  std::vector<Sample> samples;
  samples.reserve(static_cast<std::size_t>(end - begin));
  for (std::int64_t i = begin; i < end; ++i) {
    if (stop.stop_requested()) return {};  // nobody will look at it
    const std::int64_t index = order_[static_cast<std::size_t>(i)];
    Rng rng(options_.seed, static_cast<std::uint64_t>(epoch_), static_cast<std::uint64_t>(index));
    samples.push_back(dataset_.get(index, rng));
  }
  SampleList list = SampleList::collate(samples);
  list.set_dataset(options_.dataset_name, options_.dataset_type);
  return options_.pin_memory == PinMemory::kYes ? std::move(list).pin_memory() : std::move(list);
}

}  // namespace pergola::host
