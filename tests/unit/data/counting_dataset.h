// SPDX-License-Identifier: BSD-3-Clause
// A data set whose samples say which they are, and what loaders of it give.
#pragma once

#include "host/data/loader.h"
#include "pergola/dataset.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host::test {

// Sample i: `index` = i, `noise` = the first number of its generator.
class CountingDataset final : public Dataset {
 public:
  explicit CountingDataset(std::int64_t size, std::int64_t bad = -1) : size_(size), bad_(bad) {}
  [[nodiscard]] std::int64_t size() const override { return size_; }
  [[nodiscard]] Sample get(std::int64_t index, Rng& rng) const override {
    if (index == bad_) throw Error(ErrorKind::kData, "sample ", index, " is bad");
    Sample sample;
    sample.set("index", at::scalar_tensor(index, at::kLong));
    sample.set("noise", at::scalar_tensor(rng.uniform(), at::kDouble));
    sample.set("intra_op_threads", at::scalar_tensor(at::get_num_threads(), at::kLong));
    return sample;
  }

 private:
  std::int64_t size_;
  std::int64_t bad_;
};

inline LoaderOptions counting_options(std::int64_t batch_size, std::int64_t num_workers,
                                      Shuffle shuffle = Shuffle::kYes) {
  LoaderOptions result;
  result.dataset_name = "counting";
  result.dataset_type = "train";
  result.batch_size = batch_size;
  result.shuffle = shuffle;
  result.num_workers = num_workers;
  result.seed = 11;
  return result;
}

// The rest of the epoch.
inline std::vector<SampleList> drain(BatchSource& source) {
  std::vector<SampleList> batches;
  while (auto batch = source.next()) batches.push_back(*std::move(batch));
  return batches;
}

}  // namespace pergola::host::test
