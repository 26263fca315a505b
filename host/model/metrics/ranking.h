// SPDX-License-Identifier: BSD-3-Clause
// The metrics of the rank that the right candidate of a sample has (MMF's metrics.py; of any number
// of candidates, not of 100). State: how many samples had each rank, so memory does not grow with
// the split, and any cut and order of merging gives the same numbers.
// Legend: B = batch, C = candidates.
#pragma once

#include "pergola/component.h"
#include "pergola/metric.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pergola::host {

enum class RankValue {
  kRecall,          // the share of samples whose rank is k or better
  kMean,            // the mean rank
  kMeanReciprocal,  // the mean of 1 / rank
};

// One key of the registry.
struct RankForm {
  const char* key;
  RankValue value;
  std::int64_t k = 0;
};

// Scores [B, C]; targets [B, C], of which the first of the highest is the right candidate, or its
// number [B]. The highest score has rank 1; of equal scores the lower candidate is ahead. C may
// change from batch to batch. A sample without a rank (a score that is not a number, all scores
// -inf, or a number that is no candidate) counts as infinitely far behind: never among the first
// k, 1 / rank is 0, and the mean rank is infinite.
class RankMetric : public Metric {
 public:
  void update(const SampleList& batch, const ModelOutput& output) final;
  void merge(const Metric& other) final;
  [[nodiscard]] std::map<std::string, double> compute() const final;
  void reset() final;

 protected:
  explicit RankMetric(const RankForm& form) : form_(form) {}
  [[nodiscard]] static ComponentSpec spec_of(const RankForm& form);

 private:
  void add(const at::Tensor& counts);

  const RankForm& form_;
  at::Tensor counts_;  // int64, by rank; [0]: without one. Undefined before the first batch
};

template <const RankForm& kForm>
class Ranking final : public RankMetric {
 public:
  [[nodiscard]] static ComponentSpec spec() { return spec_of(kForm); }
  explicit Ranking(const Config& /*params*/) : RankMetric(kForm) {}
};

inline constexpr RankForm kRecallAt1{"r@1", RankValue::kRecall, 1};
inline constexpr RankForm kRecallAt5{"r@5", RankValue::kRecall, 5};
inline constexpr RankForm kRecallAt10{"r@10", RankValue::kRecall, 10};
inline constexpr RankForm kMeanRank{"mean_r", RankValue::kMean};
inline constexpr RankForm kMeanReciprocalRank{"mean_rr", RankValue::kMeanReciprocal};

}  // namespace pergola::host
