// SPDX-License-Identifier: BSD-3-Clause
// The ten fusions: names, results and gradients against tools/reference/fusions.py, which has the
// rule of the weights.
#include "pergola/nn/fusions.h"
#include "pergola/state_dict.h"
#include "plugins/model_testing.h"
#include "unit/sdk/nn_golden.h"

#include <ATen/autocast_mode.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace pergola::nn {
namespace {

using pergola::test::noise;

using Table = Value::Table;

// A tensor with two names is there under both.
std::map<std::string, at::Tensor> sorted_parameters(const Fusion& fusion) {
  std::map<std::string, at::Tensor> sorted;
  for (const auto& item : fusion.named_parameters()) sorted.emplace(item.key(), item.value());
  return sorted;
}

// The reference's rule: weights, and where the sketches of mcb put each input.
void fill(Fusion& fusion) {
  const torch::NoGradGuard no_grad;
  double k = 0;
  for (auto& [name, parameter] : sorted_parameters(fusion)) {
    parameter.copy_((noise(parameter.numel(), k++) * 3).view(parameter.sizes()));
  }
  for (auto& item : fusion.named_buffers()) {
    at::Tensor& sketch = item.value();
    sketch.zero_();
    const bool first = item.key() == "mcb.sketch1";
    for (std::int64_t i = 0; i < sketch.size(0); ++i) {
      const std::int64_t place = (first ? 7 * i + 3 : 5 * i + 1) % sketch.size(1);
      sketch[i][place] = 1 - 2 * ((first ? i : i / 2) % 2);
    }
  }
}

// One case of the reference.
class FusionCase {
 public:
  explicit FusionCase(const nlohmann::json& one)
      : case_(one), type_(one.at("type").get<std::string>()) {}

  [[nodiscard]] const std::string& type() const { return type_; }
  [[nodiscard]] const nlohmann::json& at(const char* key) const { return case_.at(key); }
  [[nodiscard]] std::shared_ptr<Fusion> make(const Table& more = {}) const {
    Table params = to_value(case_.at("params")).as_table();
    params.insert(more.begin(), more.end());
    auto fusion = make_fusion(fusion_config(type_, params), {dim(0), dim(1)}, /*output_dim=*/4);
    fusion->to(torch::kDouble);
    fill(*fusion);
    fusion->eval();
    return fusion;
  }
  [[nodiscard]] std::int64_t dim(std::size_t i) const {
    return case_.at("dims").at(i).get<std::int64_t>();
  }
  [[nodiscard]] at::Tensor input(std::size_t i) const {
    const auto batch = case_.at("batch").get<std::int64_t>();
    return (noise(batch * dim(i), 400 + static_cast<double>(i)) * 5).view({batch, dim(i)});
  }
  [[nodiscard]] double error(const at::Tensor& output) const {
    return difference(output, numbers(case_.at("output")));
  }
  // The result of less than single precision: that of roots depends on the sign of small numbers.
  void expect_near(const at::Tensor& output) const {
    EXPECT_TRUE(output.isfinite().all().item<bool>());
    const FusionConfig config = fusion_config(type_, to_value(case_.at("params")).as_table());
    if (config.norm == FusionNorm::kNone) {
      EXPECT_LT(error(output), 5e-2);
    }
  }
  // The two sums by which the reference writes a tensor down.
  static void expect_projections(const at::Tensor& tensor, double k, const nlohmann::json& expected,
                                 const std::string& name) {
    ASSERT_TRUE(tensor.defined()) << name;
    const at::Tensor flat = tensor.flatten();
    const at::Tensor sums =
        torch::stack({flat.sum(), (flat * noise(flat.numel(), 1000 + k)).sum()});
    EXPECT_LT(difference(sums, numbers(expected)), 1e-9) << name;
  }

 private:
  const nlohmann::json& case_;
  const std::string type_;
};

// Processors differ in the order of sums, and a root makes a rounding of 1e-16 the larger the
// nearer the sum is to 0: 5e-12 on one of them, for block, which ends with signed roots.
constexpr double kRounding = 1e-10;

template <class Body>
void each_case(Body body) {
  for (const nlohmann::json& one : golden().at("fusions")) {
    SCOPED_TRACE(one.at("type").dump() + one.at("params").dump());
    body(FusionCase(one));
  }
}

TEST(FusionGoldenTest, HasMmfsNamesAndShapes) {
  each_case([](const FusionCase& one) {
    std::map<std::string, std::vector<std::int64_t>> found;
    for (const auto& [name, tensor] : state_dict(*one.make())) {
      found.emplace(name, tensor.sizes().vec());
    }
    const auto expected = one.at("state").get<std::map<std::string, std::vector<std::int64_t>>>();
    EXPECT_EQ(found, expected);
  });
}

TEST(FusionGoldenTest, ResultAndGradients) {
  each_case([](const FusionCase& one) {
    const auto fusion = one.make();
    const at::Tensor inputs[] = {one.input(0).requires_grad_(true),
                                 one.input(1).requires_grad_(true)};
    const at::Tensor output = fusion->forward(inputs[0], inputs[1]);
    EXPECT_LT(one.error(output), kRounding);
    (output * noise(output.numel(), 600).view(output.sizes())).sum().backward();
    for (std::size_t i = 0; i < 2; ++i) {
      one.expect_projections(inputs[i].grad(), static_cast<double>(i), one.at("inputs").at(i),
                             "input");
    }
    double k = 0;
    for (const auto& [name, parameter] : sorted_parameters(*fusion)) {
      one.expect_projections(parameter.grad(), k++, one.at("gradients").at(name), name);
    }
    EXPECT_EQ(k, static_cast<double>(one.at("gradients").size()));
  });
}

TEST(FusionGoldenTest, ResultInSinglePrecision) {
  each_case([](const FusionCase& one) {
    const auto fusion = one.make();
    fusion->to(torch::kFloat);
    const at::Tensor output =
        fusion->forward(one.input(0).to(torch::kFloat), one.input(1).to(torch::kFloat));
    EXPECT_LT(one.error(output), 1e-5);
  });
}

TEST(FusionGoldenTest, StaysInHalfPrecision) {
  each_case([](const FusionCase& one) {
    for (const at::ScalarType type : {torch::kBFloat16, torch::kHalf}) {
      const auto fusion = one.make();
      fusion->to(type);
      const at::Tensor output = fusion->forward(one.input(0).to(type), one.input(1).to(type));
      EXPECT_EQ(output.scalar_type(), type);
      one.expect_near(output);
    }
  });
}

TEST(FusionGoldenTest, RunsUnderAutocast) {
  each_case([](const FusionCase& one) {
    const auto fusion = one.make();
    fusion->to(torch::kFloat);
    at::autocast::set_autocast_enabled(at::kCPU, true);  // to bfloat16
    const at::Tensor output =
        fusion->forward(one.input(0).to(torch::kFloat), one.input(1).to(torch::kFloat));
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
    EXPECT_EQ(output.scalar_type(), torch::kBFloat16);
    one.expect_near(output);
  });
}

TEST(FusionGoldenTest, DropoutsChangeNothingInEvaluation) {
  each_case([](const FusionCase& one) {
    const Table half = {{"dropout_input", 0.5}, {"dropout_output", 0.5}};
    Table more = one.type() == "mcb" ? Table{{"dropout_output", 0.5}} : half;
    if (one.type() == "concat_mlp") {
      more = {{"dropout", 0.5}};
    } else if (one.type() != "mcb") {
      more.emplace(one.type() == "mfb" ? "dropout_pre_norm" : "dropout_pre_lin", 0.5);
    }
    EXPECT_LT(one.error(one.make(more)->forward(one.input(0), one.input(1))), kRounding);
  });
}

TEST(FusionGoldenTest, AllCasesRun) {
  EXPECT_EQ(golden().at("fusions").size(), 23U);
  std::set<std::string> types;
  for (const auto& one : golden().at("fusions")) types.insert(one.at("type").get<std::string>());
  EXPECT_EQ(types.size(), 10U);
}

}  // namespace
}  // namespace pergola::nn
