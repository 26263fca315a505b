// SPDX-License-Identifier: BSD-3-Clause
// BatchMaker: any batch of a data set on request, as a function of the options, the epoch and the
// batch's number. Borrows its data set. Thread-safe.
#pragma once

#include "host/data/sampler.h"
#include "host/support/hook.h"
#include "pergola/dataset.h"
#include "pergola/sample_list.h"

#include <cstdint>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

namespace pergola::host {

enum class PinMemory { kNo, kYes };  // kYes needs CUDA to be loaded

struct LoaderOptions {
  std::string dataset_name;  // set on every batch: "easy_vqa"
  std::string dataset_type;  // set on every batch: "train"
  std::int64_t batch_size = 1;
  Shuffle shuffle = Shuffle::kNo;
  LastBatch last_batch = LastBatch::kKeep;
  // Of an epoch, the first in its order are used; all of them where there are fewer.
  std::int64_t max_batches = std::numeric_limits<std::int64_t>::max();
  std::int64_t num_workers = 0;  // 0: next() makes the batch itself
  std::int64_t prefetch = 2;     // batches made ahead by each worker
  std::uint64_t seed = 0;
  PinMemory pin_memory = PinMemory::kNo;
};

class BatchMaker {
 public:
  // REQUIRES: `dataset` outlives the maker; batch_size > 0, max_batches >= 0.
  BatchMaker(const Dataset& dataset, LoaderOptions options);

  [[nodiscard]] const LoaderOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::int64_t num_batches() const noexcept { return num_batches_; }  // of an epoch
  [[nodiscard]] std::int64_t num_samples() const noexcept { return num_samples_; }  // in these

  // What make() calls: "get() of data set 'easy_vqa' (train) or of its processors". Borrows from
  // the maker.
  [[nodiscard]] Hook hook() const noexcept;

  // The samples of an epoch in their order, as make() takes it.
  [[nodiscard]] std::vector<std::int64_t> order(std::int64_t epoch) const;

  // Batch number `batch` of an epoch with that order; anything once `stop` is requested. Throws
  // what the data set throws.  REQUIRES: 0 <= batch < num_batches().
  [[nodiscard]] SampleList make(const std::vector<std::int64_t>& order, std::int64_t epoch,
                                std::int64_t batch, const std::stop_token& stop) const;

 private:
  const Dataset& dataset_;
  const LoaderOptions options_;
  const std::int64_t num_batches_;
  const std::int64_t num_samples_;
};

// Makes ATen work on this thread alone, for threads that make batches: a batch's copies are too
// small to share, and teams of threads under each worker would take the cores from the training.
void keep_aten_to_this_thread();

}  // namespace pergola::host
