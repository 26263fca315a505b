// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/best_list.h"

#include "host/checkpoint/store.h"
#include "pergola/error.h"

#include <algorithm>
#include <utility>

namespace pergola::host {
namespace {

std::optional<BestResult> read_result(const Value& state, const char* update_key,
                                      const char* value_key) {
  const Value* update = state.find(update_key);
  const Value* value = state.find(value_key);
  if (update == nullptr || value == nullptr || value->is_null()) return std::nullopt;
  const BestResult result{update->as_integer(), value->as_float()};
  return result.update < 0 ? std::nullopt : std::optional(result);
}

}  // namespace

BestList::BestList(MonitorConfig monitor, std::int64_t size)
    : monitor_(std::move(monitor)), size_(static_cast<std::size_t>(size)) {
  PERGOLA_ASSERT(size >= 1);
}

std::optional<std::int64_t> BestList::add(const BestResult& result) {
  const auto same = std::ranges::find(results_, result.update, &BestResult::update);
  if (same != results_.end()) {
    if (!better(result, *same)) return std::nullopt;
    results_.erase(same);
  }
  const auto place = std::ranges::find_if(
      results_, [&](const BestResult& other) { return better(result, other); });
  const std::int64_t rank = place - results_.begin() + 1;
  if (rank > static_cast<std::int64_t>(size_)) return std::nullopt;
  results_.insert(place, result);
  results_.resize(std::min(results_.size(), size_));
  return rank;
}

void BestList::assign(std::vector<BestResult> results) {
  results_ = std::move(results);
  results_.resize(std::min(results_.size(), size_));
}

std::optional<BestResult> BestList::of_update(std::int64_t update) const {
  const auto found = std::ranges::find(results_, update, &BestResult::update);
  return found == results_.end() ? std::nullopt : std::optional(*found);
}

Value BestList::state_dict() const {
  Value next{Value::Array{}};
  for (std::size_t i = 1; i < results_.size(); ++i) {
    next.as_array().push_back(
        Value::Table{{"update", results_[i].update}, {"value", results_[i].value}});
  }
  return Value::Table{{"best_update", front().update},
                      {"best_value", front().value},
                      {"next_best", std::move(next)},
                      {"criteria", monitor_.criteria},
                      {"minimize", monitor_.minimize}};
}

void BestList::load_state_dict(const Value& state) {
  results_.clear();
  // Checkpoints from before these keys do not say, and mostly are of the same monitor.
  const Value* const criteria = state.find("criteria");
  const Value* const minimize = state.find("minimize");
  if (criteria != nullptr && criteria->as_string() != monitor_.criteria) return;
  if (minimize != nullptr && minimize->as_boolean() != monitor_.minimize) return;
  std::vector<BestResult> results;
  if (const auto best = read_result(state, "best_update", "best_value")) results.push_back(*best);
  if (const Value* const next = state.find("next_best"); next != nullptr) {
    for (const Value& entry : next->as_array()) {
      if (const auto result = read_result(entry, "update", "value")) results.push_back(*result);
    }
  }
  assign(std::move(results));
}

std::vector<std::int64_t> sources_of(const std::vector<BestResult>& wanted,
                                     const std::vector<std::optional<BestResult>>& there) {
  std::vector<std::int64_t> sources;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto found = std::ranges::find(there, std::optional(wanted[i]));
    const bool stays = i < there.size() && there[i] == wanted[i];
    const std::int64_t rank = stays ? static_cast<std::int64_t>(i) : found - there.begin();
    sources.push_back(stays || found != there.end() ? rank + 1 : CheckpointStore::kFromLast);
  }
  return sources;
}

}  // namespace pergola::host
