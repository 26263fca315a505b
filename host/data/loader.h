// SPDX-License-Identifier: BSD-3-Clause
// DataLoader: the batches of one data set, epoch by epoch, made ahead on worker threads. What it
// returns is a function of the options, the epoch and the batch's number: the number of workers
// changes the speed alone. Borrows its data set; used by one thread.
#pragma once

#include "host/data/batch_maker.h"
#include "host/data/batch_source.h"
#include "host/data/prefetcher.h"
#include "pergola/dataset.h"
#include "pergola/sample_list.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

class DataLoader final : public BatchSource {
 public:
  // REQUIRES: `dataset` outlives the loader; batch_size > 0, num_workers >= 0, prefetch > 0.
  DataLoader(const Dataset& dataset, LoaderOptions options);

  [[nodiscard]] const LoaderOptions& options() const noexcept { return maker_.options(); }
  [[nodiscard]] std::int64_t num_batches() const noexcept override { return maker_.num_batches(); }
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0) override;
  [[nodiscard]] std::optional<SampleList> next() override;
  [[nodiscard]] bool is_ready() override { return prefetcher_ && prefetcher_->is_ready(); }
  [[nodiscard]] Hook last_hook() const override {
    return prepare_failed_ ? options().transfer.prepare_hook : maker_.hook();
  }

 private:
  const BatchMaker maker_;
  bool prepare_failed_ = false;  // in the last next()
  std::int64_t epoch_ = 0;
  std::int64_t next_batch_;                             // without workers: what next() makes
  std::vector<std::int64_t> order_;                     // constant while workers run
  std::unique_ptr<Prefetcher<SampleList>> prefetcher_;  // last: its workers read the above
};

}  // namespace pergola::host
