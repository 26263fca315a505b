// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/smoothed_value.h"

#include "pergola/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace pergola::host {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// JSON has no NaN: it comes back as null.
double number(const Value& value) { return value.is_null() ? kNan : value.as_float(); }

const Value& require(const Value& state, const char* key) {
  const Value* value = state.find(key);
  if (value == nullptr) {
    throw Error(ErrorKind::kCheckpoint, "the saved course of a number has no '", key,
                "'; it was not written by this program, or by a newer one");
  }
  return *value;
}

}  // namespace

void SmoothedValue::update(double value, std::int64_t count) {
  entries_.push_back({value, count});
  if (entries_.size() > window_) entries_.pop_front();
  sum_ += value * static_cast<double>(count);
  count_ += count;
}

double SmoothedValue::latest() const { return entries_.empty() ? kNan : entries_.back().value; }

double SmoothedValue::median() const {
  std::vector<double> values;
  for (const Entry& entry : entries_) values.push_back(entry.value);
  const bool any_nan = std::ranges::any_of(values, [](double value) { return std::isnan(value); });
  if (values.empty() || any_nan) return kNan;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double SmoothedValue::avg() const {
  double sum = 0;
  double count = 0;
  for (const Entry& entry : entries_) {
    sum += entry.value * static_cast<double>(entry.count);
    count += static_cast<double>(entry.count);
  }
  return sum / count;  // 0 / 0 is NaN
}

double SmoothedValue::global_avg() const { return sum_ / static_cast<double>(count_); }

Value SmoothedValue::state_dict() const {
  Value::Array window;
  for (const Entry& entry : entries_) {
    window.emplace_back(Value::Array{entry.value, entry.count});
  }
  return Value::Table{{"window", std::move(window)}, {"sum", sum_}, {"count", count_}};
}

void SmoothedValue::load_state_dict(const Value& state) {
  entries_.clear();
  for (const Value& entry : require(state, "window").as_array()) {
    const Value::Array& pair = entry.as_array();
    if (pair.size() != 2) {
      throw Error(ErrorKind::kCheckpoint, "the saved course of a number is not of pairs");
    }
    entries_.push_back({number(pair[0]), pair[1].as_integer()});
  }
  sum_ = number(require(state, "sum"));
  count_ = require(state, "count").as_integer();
}

}  // namespace pergola::host
