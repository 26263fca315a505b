// SPDX-License-Identifier: BSD-3-Clause
// Which of several data sets gives the next batch (MMF's iteration strategies, mmf/datasets/
// iteration_strategies.py, and temperature sampling). The choices are a function of seed, epoch and
// position, never stored: what a run needs to go on is computed anew from these. LibTorch-free.
//
//   type                weight of a data set      an epoch
//   constant            1 of `idx`, 0 of others   its batches, each once
//   size_proportional   its samples               the batches of all, each once
//   round_robin         each in its turn          as many batches as all have together
//   random              1                         the same
//   ratios              its `sampling_ratios`     the same, of those whose ratio is not 0
//   temperature         samples^(1/temperature)   the same
//
// In an epoch of the first two a data set is not drawn again once its batches are used up; the
// others are drawn with their weights until all are. With the rest a data set that is used up
// begins anew, in another order, and where it stands at the end of an epoch it goes on in the next:
// all of its samples are seen equally often. (MMF's epochs of these never end.)
//
// The temperature is that of Arivazhagan et al., "Massively Multilingual Neural Machine Translation
// in the Wild" (2019) and Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
// Text-to-Text Transformer" (2020), section 3.5.2: 1 draws in proportion to sizes, a high one evens
// them out. Multilingual BERT and mT5 (Xue et al., 2021) give its inverse, 0.7 and 0.3.
#pragma once

#include "host/config/run_config.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

// Of a data set, what an epoch of its own has.
struct EpochSize {
  std::int64_t samples = 0;
  std::int64_t batches = 0;
};

class IterationStrategy {
 public:
  // For `datasets`, in this order. `enabled = false` is MMF's way to say constant, 0. Throws
  // Error{kConfig} for a type or param that there is not, an index out of range, a ratio that is
  // missing or below 0, ratios that are all 0, and a temperature below 1.
  [[nodiscard]] static IterationStrategy parse(const MultitaskingConfig& config,
                                               const std::vector<std::string>& datasets);

  [[nodiscard]] const std::string& type() const noexcept { return type_; }
  // Does it ever choose data set `index`?
  [[nodiscard]] bool draws(std::size_t index) const;

 private:
  friend class Turns;
  // Does an epoch take each batch once?
  [[nodiscard]] bool exhausts() const;
  [[nodiscard]] std::vector<double> weights(const std::vector<EpochSize>& sizes) const;

  std::string type_;
  std::size_t first_ = 0;            // constant: the one; round_robin: where it begins
  std::vector<double> ratios_ = {};  // one for each data set
  double temperature_ = 1;
};

// One batch of a run: batch `batch` of the data set's own epoch `epoch`.
struct Turn {
  std::size_t dataset = 0;
  std::int64_t epoch = 0;
  std::int64_t batch = 0;

  [[nodiscard]] bool operator==(const Turn&) const = default;
};

// The turns of a run, epoch by epoch.
class Turns {
 public:
  // REQUIRES: a size for each data set of the strategy, with a batch for those that it draws.
  Turns(IterationStrategy strategy, std::vector<EpochSize> sizes, std::uint64_t seed);

  // Uses the first `num_batches` turns of each epoch alone.
  // REQUIRES: 0 <= num_batches <= num_batches() so far; before the first epoch().
  void limit(std::int64_t num_batches);

  [[nodiscard]] std::int64_t num_batches() const noexcept { return num_batches_; }  // of an epoch

  // All turns of an epoch. Where an epoch depends on those before it, their choices are gone
  // through anew, as far as the call before did not: a million takes some 10 ms.
  [[nodiscard]] std::vector<Turn> epoch(std::int64_t epoch);

 private:
  [[nodiscard]] std::size_t choose(std::int64_t epoch, std::int64_t position,
                                   const std::vector<double>& weights) const;
  [[nodiscard]] std::vector<Turn> exhausting_epoch(std::int64_t epoch) const;
  void replay_up_to(std::int64_t epoch);

  IterationStrategy strategy_;
  std::vector<EpochSize> sizes_;
  std::vector<double> weights_;
  std::uint64_t seed_;
  std::int64_t num_batches_ = 0;
  std::int64_t replayed_ = 0;       // `used_` is what the epochs before this one took
  std::vector<std::int64_t> used_;  // batches of each data set since the run began
};

}  // namespace pergola::host
