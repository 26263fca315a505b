// SPDX-License-Identifier: BSD-3-Clause
// Every case of tests/golden/losses.json, whose values are those of torch's operators and of MMF's
// formulas in double precision (tools/reference/losses.py).
#include "host/device/waiting_operations.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <vector>

namespace pergola::host::loss_test {
namespace {

using ::testing::IsEmpty;

at::Tensor tensor_of(const Value& value) {
  std::vector<std::int64_t> shape;
  for (const Value& size : value.find("shape")->as_array()) shape.push_back(size.as_integer());
  std::vector<double> data;
  for (const Value& number : value.find("data")->as_array()) data.push_back(number.as_float());
  const at::Tensor tensor = at::tensor(data, at::kDouble).reshape(shape);
  return value.find("type")->as_string() == "int" ? tensor.to(at::kLong) : tensor;
}

Tensors tensors_of(const Value& group, const std::string& prefix = "") {
  Tensors tensors;
  for (const auto& [name, tensor] : group.as_table()) tensors[prefix + name] = tensor_of(tensor);
  return tensors;
}

struct Case {
  Given given;
  Value::Table values;  // by child: the numbers
};

Case case_of(const Value& entry) {
  Given given{entry.find("loss")->as_string(), entry.find("params")->as_table(),
              tensors_of(*entry.find("output")), tensors_of(*entry.find("batch"))};
  given.batch.merge(tensors_of(*entry.find("info"), "info."));
  if (given.batch.count("targets") == 0) {
    given.batch["targets"] = at::zeros({given.output.begin()->second.size(0)});
  }
  return {std::move(given), entry.find("values")->as_table()};
}

const std::vector<Case>& cases() {
  static const std::vector<Case> kAll = [] {
    const std::string path = PERGOLA_GOLDEN_DIR "/losses.json";
    std::vector<Case> read;
    const Value file = from_json(read_file(path, ErrorKind::kData), path);
    for (const Value& entry : file.find("cases")->as_array()) read.push_back(case_of(entry));
    return read;
  }();
  return kAll;
}

std::string name_of(const Case& golden) {
  return concat("case ", &golden - cases().data(), ": ", golden.given.loss, ", params ",
                to_string(golden.given.params));
}

// Every case with floating tensors of `type`, to a relative error of `tolerance`.
void expect_values(at::ScalarType type, double tolerance) {
  for (const Case& golden : cases()) {
    SCOPED_TRACE(name_of(golden));
    Given given = with_output(golden.given, [&](const at::Tensor& t) { return t.to(type); });
    for (auto& [name, tensor] : given.batch) {
      if (tensor.is_floating_point()) tensor = tensor.to(type);
    }
    const LossMap found = compute(given);
    ASSERT_EQ(found.size(), golden.values.size());
    for (const auto& [child, numbers] : golden.values) {
      const at::Tensor value = found.at(child).flatten();
      EXPECT_EQ(value.scalar_type(), type);
      const Value::Array& expected = numbers.as_array();
      ASSERT_EQ(value.numel(), static_cast<std::int64_t>(expected.size())) << child;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const double number = expected[i].as_float();
        EXPECT_NEAR(value[static_cast<std::int64_t>(i)].item<double>(), number,
                    tolerance * std::abs(number))
            << child;
      }
    }
  }
}

TEST(GoldenLossesTest, InSinglePrecisionAreTheReferenceTo1e5) { expect_values(at::kFloat, 1e-5); }

TEST(GoldenLossesTest, InDoublePrecisionAreTheReferenceTo1e10) {
  expect_values(at::kDouble, 1e-10);
}

TEST(GoldenLossesTest, ThereAreCasesOfEveryLoss) {
  std::map<std::string, int> count;
  for (const Case& golden : cases()) ++count[golden.given.loss];
  for (const std::string& key : losses().keys(Kind::kLoss)) EXPECT_GE(count[key], 3) << key;
}

TEST(GoldenLossesTest, GradientsOfEveryCaseAreThoseOfDifferences) {
  for (const Case& golden : cases()) {
    if (golden.given.loss == "bce") continue;  // its cases have probabilities of 0 and 1
    SCOPED_TRACE(name_of(golden));
    expect_gradients(golden.given);
  }
}

// With every set of params, not only those of the examples.
TEST(GoldenLossesTest, NoCaseWaitsForTheDevice) {
  for (const Case& golden : cases()) {
    SCOPED_TRACE(name_of(golden));
    const Given given = leaves_of(golden.given);
    const auto loss = make_loss(given.loss, given.params);
    const SampleList batch = batch_of(given);
    const ModelOutput output = output_of(given);
    const ::pergola::host::WaitingOperations watch;
    total_loss(loss->compute(batch, output)).backward();
    EXPECT_THAT(watch.counts(), IsEmpty());
  }
}

}  // namespace
}  // namespace pergola::host::loss_test
