// SPDX-License-Identifier: BSD-3-Clause
// Every case of tests/golden/optimizers.json: 20 steps, with groups, decay, clipping and schedules,
// end where PyTorch's do (tools/reference/optimizers.py).
#include "host/model/builder.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "host/train/clip.h"
#include "unit/model/optimizers/problem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace pergola::host {
namespace {

const Value& golden() {
  static const Value file = [] {
    const std::string path = PERGOLA_GOLDEN_DIR "/optimizers.json";
    return from_json(read_file(path, ErrorKind::kData), path);
  }();
  return file;
}

const Value::Array& cases() { return golden().find("cases")->as_array(); }

at::Tensor tensor_of(const Value& numbers, const std::string& name, at::ScalarType type) {
  std::vector<double> data;
  for (const Value& number : numbers.as_array()) data.push_back(number.as_float());
  std::vector<std::int64_t> shape;
  for (const Value& size : golden().find("shapes")->as_table().at(name).as_array()) {
    shape.push_back(size.as_integer());
  }
  return torch::tensor(data, at::kDouble).to(type).reshape(shape);
}

// Is `step` among those that `steps`, a table by names, has for the parameter?
bool has_step(const Value& steps, const std::string& name, std::int64_t step) {
  const auto found = steps.as_table().find(name);
  if (found == steps.as_table().end()) return false;
  const Value::Array& listed = found->second.as_array();
  return std::find(listed.begin(), listed.end(), Value(step)) != listed.end();
}

// One case with parameters of one type.
class GoldenRun {
 public:
  GoldenRun(const Value& golden_case, at::ScalarType type) : case_(golden_case) {
    for (const auto& [name, numbers] : case_.find("initial")->as_table()) {
      // In both types the numbers are exactly those of float32.
      const at::Tensor start = tensor_of(numbers, name, at::kFloat).to(type);
      parameters_[name] = start.clone().set_requires_grad(true);
    }
    std::vector<ParameterGroup> groups;
    for (const Value& entry : case_.find("groups")->as_array()) {
      ParameterGroup group{{}, {}, *entry.find("options")};
      for (const Value& name : entry.find("names")->as_array()) {
        group.names.push_back(name.as_string());
        group.parameters.push_back(parameters_.at(name.as_string()));
      }
      groups.push_back(std::move(group));
    }
    optimizer_ = make_optimizer(case_.find("type")->as_string(), case_.find("params")->as_table(),
                                std::move(groups));
    const Value* schedule = case_.find("scheduler");
    if (schedule == nullptr) return;
    scheduler_ = build_scheduler(builtin_parts(), schedule->find("type")->as_string(),
                                 Config(*schedule->find("params")), {.updates = steps()});
  }

  static std::int64_t steps() { return golden().find("steps")->as_integer(); }

  void step(std::int64_t step) {
    optimizer_->zero_grad();
    for (auto& [name, parameter] : parameters_) {
      if (has_step(*case_.find("absent"), name, step)) continue;
      const bool zero = has_step(*case_.find("zero"), name, step);
      parameter.mutable_grad() =
          zero ? at::zeros_like(parameter.detach()) : gradient_at(parameter, step);
    }
    const Value* norm = case_.find("clip_norm");
    const Value* value = case_.find("clip_value");
    if (norm != nullptr) clip_grad_norm(*optimizer_, norm->as_float());
    if (value != nullptr) clip_grad_value(*optimizer_, value->as_float());
    if (scheduler_) optimizer_->set_lr_factor(scheduler_->factor(step));
    optimizer_->step();
    const Value* observed = case_.find("scheduler.observed");
    if (observed == nullptr) return;
    scheduler_->observe(observed->as_array()[static_cast<std::size_t>(step)].as_float());
  }

  [[nodiscard]] const std::map<std::string, at::Tensor>& parameters() const { return parameters_; }

 private:
  const Value& case_;
  std::map<std::string, at::Tensor> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Scheduler> scheduler_;
};

class GoldenOptimizer : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(All, GoldenOptimizer, testing::Range(std::size_t{0}, cases().size()),
                         [](const auto& number) {
                           return cases()[number.param].find("name")->as_string();
                         });

TEST_P(GoldenOptimizer, EndsWhereTheReferenceEnds) {
  const Value& golden_case = cases()[GetParam()];
  const std::tuple<const char*, at::ScalarType, double> precisions[] = {
      {"float64", at::kDouble, 1e-12}, {"float32", at::kFloat, 1e-6}};
  for (const auto& [precision, type, tolerance] : precisions) {
    GoldenRun run(golden_case, type);
    for (std::int64_t step = 0; step < GoldenRun::steps(); ++step) run.step(step);
    for (const auto& [name, parameter] : run.parameters()) {
      const Value& numbers = golden_case.find(precision)->as_table().at(name);
      const at::Tensor expected = tensor_of(numbers, name, at::kDouble);
      const at::Tensor distance = (parameter.detach().to(at::kDouble) - expected).abs().max();
      EXPECT_LE(distance.item<double>(), tolerance) << name << " in " << precision;
    }
  }
}

TEST(GoldenOptimizersTest, HaveEveryOptimizer) {
  std::set<std::string> types;
  for (const Value& one : cases()) types.insert(one.find("type")->as_string());
  const std::vector<std::string> keys = builtin_parts().keys(Kind::kOptimizer);
  EXPECT_EQ(types, std::set<std::string>(keys.begin(), keys.end()));
}

}  // namespace
}  // namespace pergola::host
