// SPDX-License-Identifier: BSD-3-Clause
// The best validations of a run so far, and which checkpoints of them there are. Plain values.
#pragma once

#include "host/config/run_config.h"
#include "pergola/value.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace pergola::host {

// A validation and its monitored number.
struct BestResult {
  std::int64_t update = -1;  // -1: there was none yet
  double value = 0;

  [[nodiscard]] bool operator==(const BestResult&) const = default;
};

// The best `size` results, the best one first; of equal ones the one that came first.
class BestList {
 public:
  // REQUIRES: size >= 1.
  BestList(MonitorConfig monitor, std::int64_t size);

  // Its rank, 1 being the best, when it is one of the best now. It takes the place of another one
  // of the same update, if it is better.
  std::optional<std::int64_t> add(const BestResult& result);
  // These, in this order, as far as there is room.
  void assign(std::vector<BestResult> results);

  [[nodiscard]] const std::vector<BestResult>& results() const noexcept { return results_; }
  // The best one.
  [[nodiscard]] BestResult front() const { return results_.empty() ? BestResult() : results_[0]; }
  [[nodiscard]] std::optional<BestResult> of_update(std::int64_t update) const;

  [[nodiscard]] Value state_dict() const;
  // What state_dict() gave. Nothing of one whose results are of another monitor, and cannot be
  // compared.
  void load_state_dict(const Value& state);

 private:
  [[nodiscard]] bool better(const BestResult& a, const BestResult& b) const noexcept {
    return monitor_.minimize ? a.value < b.value : a.value > b.value;
  }

  MonitorConfig monitor_;
  std::size_t size_;
  std::vector<BestResult> results_;
};

// What CheckpointStore::arrange_best makes `wanted` from, where rank i + 1 holds the checkpoint of
// there[i], and `last` those that are not there.
[[nodiscard]] std::vector<std::int64_t> sources_of(
    const std::vector<BestResult>& wanted, const std::vector<std::optional<BestResult>>& there);

}  // namespace pergola::host
