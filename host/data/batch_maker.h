// SPDX-License-Identifier: BSD-3-Clause
// BatchMaker: any batch of a data set on request, as a function of the options, the epoch and the
// batch's number, made ready for the way to a device. Borrows its data set. Thread-safe.
#pragma once

#include "host/data/sampler.h"
#include "host/support/hook.h"
#include "pergola/dataset.h"
#include "pergola/sample_list.h"

#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <stop_token>
#include <string>
#include <vector>

namespace pergola::host {

enum class PinMemory { kNo, kYes };  // kYes needs CUDA to be loaded

// What becomes of a batch once it is collated, on the thread that made it.
struct BatchTransfer {
  PinMemory pin_memory = PinMemory::kNo;
  // Adds to the batch what the model wants in it (BaseModel::on_before_batch_transfer); empty:
  // nothing. Called by several threads at a time.
  std::function<void(SampleList& batch)> prepare = {};
  Hook prepare_hook = {};  // who that is, for messages; borrows its texts
};

// How BatchMaker::make() passes on what `prepare` threw: it is another's failure than the data
// set's.
struct PrepareFailed {
  std::exception_ptr error;
};

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
  BatchTransfer transfer = {};
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
  // what the data set throws, and PrepareFailed.  REQUIRES: 0 <= batch < num_batches().
  [[nodiscard]] SampleList make(const std::vector<std::int64_t>& order, std::int64_t epoch,
                                std::int64_t batch, const std::stop_token& stop) const;

 private:
  [[nodiscard]] SampleList collate(const std::vector<std::int64_t>& order, std::int64_t epoch,
                                   std::int64_t batch, const std::stop_token& stop) const;

  const Dataset& dataset_;
  const LoaderOptions options_;
  const std::int64_t num_batches_;
  const std::int64_t num_samples_;
};

// Returns next(). What it says of itself in PrepareFailed is thrown as it was before that, and
// `prepare_failed` says whether it was.
template <class Next>
auto next_or_throw(bool& prepare_failed, Next next) {
  prepare_failed = false;
  try {
    return next();
  } catch (const PrepareFailed& failure) {
    prepare_failed = true;
    std::rethrow_exception(failure.error);
  }
}

// Makes ATen work on this thread alone, for threads that make batches: a batch's copies are too
// small to share, and teams of threads under each worker would take the cores from the training.
void keep_aten_to_this_thread();

}  // namespace pergola::host
