// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/meter.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// JSON has no NaN: it comes back as null.
double number(const Value& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.as_float();
}

const Value& require_in_meter(const Value& state, const char* key) {
  const Value* value = state.find(key);
  if (value != nullptr) return *value;
  throw Error(
      ErrorKind::kCheckpoint, "state.json of the checkpoint has no '", key,
      "' of the losses in 'meter'; it was written by an older program, which can resume it");
}

}  // namespace

LossMeans means_of(const LossMap& losses, std::int64_t samples) {
  const at::NoGradGuard no_grad;
  LossMeans means;
  means.samples = samples;
  for (const auto& [key, loss] : losses) {
    // Each operation is a microsecond or two of every step.
    const at::Tensor value = loss.detach();
    means.values.emplace_back(key, (value.dim() == 0 ? value : value.mean()).to(at::kDouble));
  }
  return means;
}

LossMeans copy_of(const LossMeans& means) {
  LossMeans copy = means;
  for (auto& [key, value] : copy.values) value = value.clone();
  return copy;
}

void LossMeter::add_values(const LossMeans& means) {
  const at::NoGradGuard no_grad;
  for (const auto& [key, mean] : means.values) {
    Sum& sum = sums_[key];
    if (!sum.value.defined()) sum.value = at::zeros_like(mean);
    if (sum.value.device() != mean.device()) sum.value = sum.value.to(mean.device());
    sum.value.add_(mean, means.samples);
  }
}

void LossMeter::count(const LossMeans& means) {
  for (const auto& [key, mean] : means.values) sums_[key].samples += means.samples;
}

Numbers LossMeter::means() const {
  Numbers numbers;
  double total = 0;
  bool any = false;
  for (const auto& [key, sum] : sums_) {
    if (sum.samples == 0) continue;
    any = true;
    const double mean = sum.value.item<double>() / static_cast<double>(sum.samples);
    numbers[key] = mean;
    total += mean;
  }
  if (any) numbers["train/total_loss"] = total;
  return numbers;
}

Numbers LossMeter::take() {
  Numbers numbers = means();
  double total = 0;
  const bool any = !numbers.empty();
  for (auto& [key, sum] : sums_) {
    if (sum.samples == 0) continue;
    Course& course = courses_[key];
    course.sum += sum.value.item<double>();
    course.samples += sum.samples;
    const double average = course.sum / static_cast<double>(course.samples);
    numbers[key + "/avg"] = average;
    total += average;
    sum.value.zero_();  // in place: recorded updates add to this memory
    sum.samples = 0;
  }
  if (any) numbers["train/total_loss/avg"] = total;
  return numbers;
}

void LossMeter::check_finite(std::int64_t update) const {
  std::vector<std::string> bad;
  for (const auto& [key, sum] : sums_) {
    if (sum.samples > 0 && !std::isfinite(sum.value.item<double>())) bad.push_back(key);
  }
  if (bad.empty()) return;
  throw Error(ErrorKind::kNan, "not a finite number at update ", update, ": ", join(bad),
              kNotFiniteAdvice);
}

Value LossMeter::state_dict() const {
  Value sums{Value::Table{}};
  for (const auto& [key, sum] : sums_) {
    if (sum.samples == 0) continue;
    sums[key] = Value::Table{{"sum", sum.value.item<double>()}, {"samples", sum.samples}};
  }
  Value courses{Value::Table{}};
  for (const auto& [key, course] : courses_) {
    courses[key] = Value::Table{{"sum", course.sum}, {"samples", course.samples}};
  }
  return Value::Table{{"sums", std::move(sums)}, {"courses", std::move(courses)}};
}

void LossMeter::load_state_dict(const Value& state) {
  std::map<std::string, Sum> sums;
  for (const auto& [key, saved] : require_in_meter(state, "sums").as_table()) {
    sums[key] = {at::full({}, number(require_in_meter(saved, "sum")), at::kDouble),
                 require_in_meter(saved, "samples").as_integer()};
  }
  std::map<std::string, Course> courses;
  for (const auto& [key, saved] : require_in_meter(state, "courses").as_table()) {
    courses[key] = {number(require_in_meter(saved, "sum")),
                    require_in_meter(saved, "samples").as_integer()};
  }
  sums_ = std::move(sums);
  courses_ = std::move(courses);
}

}  // namespace pergola::host
