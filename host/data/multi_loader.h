// SPDX-License-Identifier: BSD-3-Clause
// MultiLoader: the batches of several data sets, which take turns by an iteration strategy; each
// batch is of one data set. What it returns is a function of the data sets' options, strategy,
// seed, epoch and the batch's number; the number of workers changes the speed alone. All workers
// make what comes next, whichever data set it is of, so that none waits while another data set is
// drawn. Borrows its data sets; used by one thread.
#pragma once

#include "host/data/batch_maker.h"
#include "host/data/batch_source.h"
#include "host/data/iteration_strategy.h"
#include "host/data/prefetcher.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace pergola::host {

struct MultiLoaderOptions {
  std::uint64_t seed = 0;        // of the choices
  std::int64_t num_workers = 0;  // of all data sets together; 0: next() makes the batch itself
  std::int64_t prefetch = 2;     // batches made ahead by each worker
};

class MultiLoader final : public BatchSource {
 public:
  // Workers are those of `options`, not of a data set's own options.
  // REQUIRES: a maker for each data set of `strategy`, in its order, with a batch if it is drawn;
  // num_workers >= 0, prefetch > 0.
  MultiLoader(const std::vector<BatchMaker>& makers, IterationStrategy strategy,
              MultiLoaderOptions options);
  ~MultiLoader() override;

  // Makes epochs shorter.  REQUIRES: 0 <= num_batches <= num_batches(); before the first epoch.
  void limit(std::int64_t num_batches) { turns_.limit(num_batches); }

  [[nodiscard]] std::int64_t num_batches() const noexcept override { return turns_.num_batches(); }
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0) override;
  [[nodiscard]] std::optional<SampleList> next() override;
  [[nodiscard]] bool is_ready() override { return prefetcher_ && prefetcher_->is_ready(); }
  [[nodiscard]] Hook last_hook() const override;

 private:
  class Part;  // a data set
  [[nodiscard]] SampleList make(const Turn& turn, const std::stop_token& stop) const;

  const MultiLoaderOptions options_;
  std::vector<std::unique_ptr<Part>> parts_;
  Turns turns_;
  std::vector<Turn> plan_;                              // of this epoch; constant while workers run
  std::size_t next_ = 0;                                // in plan_
  bool prepare_failed_ = false;                         // in the last next()
  std::unique_ptr<Prefetcher<SampleList>> prefetcher_;  // last: its workers read the above
};

}  // namespace pergola::host
