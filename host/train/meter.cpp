// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/meter.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace pergola::host {

void LossMeter::add(const LossMap& losses) {
  const at::NoGradGuard no_grad;
  for (const auto& [key, loss] : losses) {
    Sum& sum = sums_[key];
    const at::Tensor mean = loss.detach().mean().to(at::kDouble);
    sum.value = sum.value.defined() ? sum.value.to(mean.device()) + mean : mean;
    ++sum.count;
  }
}

Numbers LossMeter::means() const {
  Numbers numbers;
  double total = 0;
  for (const auto& [key, sum] : sums_) {
    const double mean = sum.value.item<double>() / static_cast<double>(sum.count);
    numbers[key] = mean;
    total += mean;
  }
  if (!sums_.empty()) numbers["train/total_loss"] = total;
  return numbers;
}

Numbers LossMeter::take() {
  Numbers numbers = means();
  std::int64_t batches = 0;
  for (const auto& [key, sum] : sums_) batches = std::max(batches, sum.count);
  Numbers averages;
  for (const auto& [key, mean] : numbers) {
    const auto sum = sums_.find(key);
    SmoothedValue& course = courses_[key];
    course.update(mean, sum == sums_.end() ? batches : sum->second.count);
    averages[key + "/avg"] = course.global_avg();
  }
  numbers.merge(averages);
  sums_.clear();
  return numbers;
}

void LossMeter::check_finite(std::int64_t update) const {
  std::vector<std::string> bad;
  for (const auto& [key, sum] : sums_) {
    if (!std::isfinite(sum.value.item<double>())) bad.push_back(key);
  }
  if (bad.empty()) return;
  throw Error(ErrorKind::kNan, "not a finite number at update ", update, ": ", join(bad),
              "; try a smaller optimizer.params.lr or training.clip_gradients = true; "
              "training.exit_on_nan_losses = false goes on all the same");
}

Value LossMeter::state_dict() const {
  Value sums{Value::Table{}};
  for (const auto& [key, sum] : sums_) {
    sums[key] = Value::Table{{"sum", sum.value.item<double>()}, {"count", sum.count}};
  }
  Value courses{Value::Table{}};
  for (const auto& [key, course] : courses_) courses[key] = course.state_dict();
  return Value::Table{{"sums", std::move(sums)}, {"courses", std::move(courses)}};
}

void LossMeter::load_state_dict(const Value& state) {
  sums_.clear();
  courses_.clear();
  const Value* sums = state.find("sums");
  const Value* courses = state.find("courses");
  if (sums == nullptr || courses == nullptr) {
    throw Error(ErrorKind::kCheckpoint,
                "state.json of the checkpoint has no sums and courses of "
                "losses in 'meter'; it was written by an older program, which can resume it");
  }
  for (const auto& [key, saved] : sums->as_table()) {
    const Value* sum = saved.find("sum");
    const Value* count = saved.find("count");
    if (sum == nullptr || count == nullptr) continue;
    // JSON has no NaN: it comes back as null.
    const double value =
        sum->is_null() ? std::numeric_limits<double>::quiet_NaN() : sum->as_float();
    sums_[key] = {at::full({}, value, at::kDouble), count->as_integer()};
  }
  for (const auto& [key, saved] : courses->as_table()) courses_[key].load_state_dict(saved);
}

}  // namespace pergola::host
