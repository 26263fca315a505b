// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/iteration_strategy.h"

#include "pergola/error.h"
#include "pergola/rng.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::uint64_t kStream = 0x7475726e73;  // "turns": not the numbers that shuffle samples

std::vector<double> parse_ratios(const Config& params, const std::vector<std::string>& datasets) {
  const Config table = params.table("sampling_ratios");
  table.allow_only(datasets);
  std::vector<double> ratios;
  for (const std::string& dataset : datasets) {
    if (!table.has(dataset)) {
      throw Error(ErrorKind::kConfig, table.path(), " has no ratio for data set '", dataset,
                  "', and type ratios needs one for each; set ", table.path(), ".", dataset,
                  ", to 0 if it is not to be trained on");
    }
    const double ratio = table.get<double>(dataset);
    if (!std::isfinite(ratio) || ratio < 0) {
      throw table.error(dataset, "is no ratio; expected a number that is 0 or more");
    }
    ratios.push_back(ratio);
  }
  const double sum = std::accumulate(ratios.begin(), ratios.end(), 0.0);
  if (sum > 0 && std::isfinite(sum)) return ratios;
  throw Error(ErrorKind::kConfig, table.path(), ": the ratios of ", join(datasets), " add up to ",
              sum, "; expected one above 0, and a finite sum");
}

double parse_temperature(const Config& params) {
  const double temperature = params.get<double>("temperature", 2.0);
  if (temperature >= 1) return temperature;
  throw params.error("temperature",
                     "is out of range; expected 1, which draws in proportion to sizes, or more");
}

}  // namespace

IterationStrategy IterationStrategy::parse(const MultitaskingConfig& config,
                                           const std::vector<std::string>& datasets) {
  IterationStrategy strategy;
  strategy.type_ = config.enabled ? config.type : "constant";
  if (!config.enabled) return strategy;
  const auto last = static_cast<std::int64_t>(datasets.size()) - 1;
  const Config& params = config.params;
  if (config.type == "constant") {
    params.allow_only({"idx"});
    strategy.first_ = static_cast<std::size_t>(params.get_integer("idx", 0, 0, last));
  } else if (config.type == "round_robin") {
    params.allow_only({"start_idx"});
    strategy.first_ = static_cast<std::size_t>(params.get_integer("start_idx", 0, 0, last));
  } else if (config.type == "ratios") {
    params.allow_only({"sampling_ratios"});
    strategy.ratios_ = parse_ratios(params, datasets);
  } else if (config.type == "temperature") {
    params.allow_only({"temperature"});
    strategy.temperature_ = parse_temperature(params);
  } else if (config.type == "random" || config.type == "size_proportional") {
    params.allow_only({});
  } else {
    const std::vector<std::string> known = {"constant", "round_robin",       "random",
                                            "ratios",   "size_proportional", "temperature"};
    throw Error(ErrorKind::kConfig, "multitasking.type = \"", config.type, "\" is unknown",
                did_you_mean(config.type, known));
  }
  return strategy;
}

bool IterationStrategy::draws(std::size_t index) const {
  if (type_ == "constant") return index == first_;
  return ratios_.empty() || ratios_[index] > 0;
}

bool IterationStrategy::exhausts() const {
  return type_ == "constant" || type_ == "size_proportional";
}

std::vector<double> IterationStrategy::weights(const std::vector<EpochSize>& sizes) const {
  if (!ratios_.empty()) return ratios_;
  std::vector<double> weights;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto samples = static_cast<double>(sizes[i].samples);
    double weight = draws(i) ? 1 : 0;
    if (type_ == "size_proportional") weight = samples;
    if (type_ == "temperature") weight = std::pow(samples, 1 / temperature_);
    weights.push_back(weight);
  }
  return weights;
}

Turns::Turns(IterationStrategy strategy, std::vector<EpochSize> sizes, std::uint64_t seed)
    : strategy_(std::move(strategy)),
      sizes_(std::move(sizes)),
      weights_(strategy_.weights(sizes_)),
      seed_(seed ^ kStream),
      used_(sizes_.size(), 0) {
  for (std::size_t i = 0; i < sizes_.size(); ++i) {
    if (!strategy_.draws(i)) continue;
    PERGOLA_ASSERT(sizes_[i].batches > 0);
    num_batches_ += sizes_[i].batches;
  }
}

void Turns::limit(std::int64_t num_batches) {
  PERGOLA_ASSERT(num_batches >= 0 && num_batches <= num_batches_ && replayed_ == 0);
  num_batches_ = num_batches;
}

// A data set whose weight is 0 is never chosen.
std::size_t Turns::choose(std::int64_t epoch, std::int64_t position,
                          const std::vector<double>& weights) const {
  if (strategy_.type_ == "round_robin") {
    const auto turn = static_cast<std::size_t>(epoch * num_batches_ + position);
    return (strategy_.first_ + turn) % sizes_.size();
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  Rng rng(seed_, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(position));
  double rest = rng.uniform() * sum;
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    chosen = i;  // the last one also takes what rounding leaves over
    if (rest < weights[i]) break;
    rest -= weights[i];
  }
  return chosen;
}

std::vector<Turn> Turns::epoch(std::int64_t epoch) {
  PERGOLA_ASSERT(epoch >= 0);
  if (strategy_.exhausts()) return exhausting_epoch(epoch);
  replay_up_to(epoch);
  std::vector<std::int64_t> used = used_;
  std::vector<Turn> turns;
  turns.reserve(static_cast<std::size_t>(num_batches_));
  for (std::int64_t position = 0; position < num_batches_; ++position) {
    const std::size_t dataset = choose(epoch, position, weights_);
    const std::int64_t number = used[dataset]++;
    const std::int64_t batches = sizes_[dataset].batches;
    turns.push_back({dataset, number / batches, number % batches});
  }
  return turns;
}

std::vector<Turn> Turns::exhausting_epoch(std::int64_t epoch) const {
  std::vector<double> weights = weights_;
  std::vector<std::int64_t> used(sizes_.size(), 0);
  std::vector<Turn> turns;
  turns.reserve(static_cast<std::size_t>(num_batches_));
  for (std::int64_t position = 0; position < num_batches_; ++position) {
    const std::size_t dataset = choose(epoch, position, weights);
    turns.push_back({dataset, epoch, used[dataset]++});
    if (used[dataset] == sizes_[dataset].batches) weights[dataset] = 0;
  }
  return turns;
}

void Turns::replay_up_to(std::int64_t epoch) {
  if (epoch < replayed_) {
    replayed_ = 0;
    std::ranges::fill(used_, 0);
  }
  for (; replayed_ < epoch; ++replayed_) {
    for (std::int64_t position = 0; position < num_batches_; ++position) {
      ++used_[choose(replayed_, position, weights_)];
    }
  }
}

}  // namespace pergola::host
