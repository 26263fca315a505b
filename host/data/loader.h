// SPDX-License-Identifier: BSD-3-Clause
// DataLoader: the batches of one data set, epoch by epoch, made ahead on worker threads. What it
// returns is a function of the options, the epoch and the batch's number: the number of workers
// changes the speed alone. Borrows its data set; used by one thread.
#pragma once

#include "host/data/prefetcher.h"
#include "host/data/sampler.h"
#include "pergola/dataset.h"
#include "pergola/sample_list.h"

#include <cstdint>
#include <memory>
#include <optional>
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
  std::int64_t num_workers = 0;  // 0: next() makes the batch itself
  std::int64_t prefetch = 2;     // batches made ahead by each worker
  std::uint64_t seed = 0;
  PinMemory pin_memory = PinMemory::kNo;
};

class DataLoader {
 public:
  // REQUIRES: `dataset` outlives the loader; batch_size > 0, num_workers >= 0, prefetch > 0.
  DataLoader(const Dataset& dataset, LoaderOptions options);
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;
  ~DataLoader() = default;

  [[nodiscard]] const LoaderOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::int64_t num_batches() const noexcept { return num_batches_; }

  // Begins `epoch` at batch `first_batch`, whatever was going on; num_batches() is an epoch that is
  // over. Throws Error{kConfig} when the system gives no more threads.
  // REQUIRES: 0 <= first_batch <= num_batches().
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0);

  // The next batch, or nothing at the end of the epoch and before the first one. Throws what the
  // data set threw for one of its samples; the call after that goes on with the following batch.
  [[nodiscard]] std::optional<SampleList> next();

 private:
  [[nodiscard]] SampleList make_batch(std::int64_t batch, const std::stop_token& stop) const;

  const Dataset& dataset_;
  const LoaderOptions options_;
  const std::int64_t num_batches_;
  std::int64_t epoch_ = 0;
  std::int64_t next_batch_;                             // without workers: what next() makes
  std::vector<std::int64_t> order_;                     // constant while workers run
  std::unique_ptr<Prefetcher<SampleList>> prefetcher_;  // last: its workers read the above
};

}  // namespace pergola::host
