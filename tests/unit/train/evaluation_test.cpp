// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/evaluation.h"

#include "host/data/loader.h"
#include "pergola/plugin.h"
#include "unit/train/boring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace pergola::host {
namespace {

std::vector<TypedConfig> metrics(Value::Array list) {
  return Config(Value::Table{{"metrics", std::move(list)}}).typed_list("metrics");
}

class EvaluationTest : public testing::Test {
 protected:
  Numbers run(std::int64_t batch_size, const BatchVisitor& visit = {}) {
    LoaderOptions options;
    options.dataset_name = "boring";
    options.dataset_type = "val";
    options.batch_size = batch_size;
    DataLoader loader(data_, options);
    return evaluate({*model_, {&loader}, metrics_, c10::Device(c10::kCPU)}, visit);
  }

  Registry registry_ = builtin_registry();
  std::shared_ptr<BoringModel> model_ = make_boring_model(registry_);
  BoringDataset data_{10};
  MetricList metrics_{metrics({"accuracy"}), registry_};
};

TEST_F(EvaluationTest, UnknownOptionOfAMetricIsAConfigError) {
  const Value metric = Value::Table{{"type", "accuracy"}, {"parms", Value::Table{}}};
  try {
    const MetricList list(metrics({metric}), registry_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(error.what(), "metrics[0].parms is not a known key; did you mean 'params'?");
  }
}

TEST_F(EvaluationTest, NumbersDoNotDependOnTheBatchSize) {
  const Numbers whole = run(10);
  for (const std::int64_t batch_size : {1, 3, 4}) {
    const Numbers parts = run(batch_size);
    ASSERT_EQ(parts.size(), 3U);
    EXPECT_EQ(parts.at("val/boring/accuracy"), whole.at("val/boring/accuracy"));
    EXPECT_NEAR(parts.at("val/boring/logit_bce"), whole.at("val/boring/logit_bce"), 1e-6);
    EXPECT_NEAR(parts.at("val/total_loss"), whole.at("val/total_loss"), 1e-6);
  }
}

TEST_F(EvaluationTest, ALossThatSomeBatchesLackIsTheMeanOverTheSamplesOfTheOthers) {
  int batch = 0;
  model_->on_forward = [&](ModelOutput& output) {
    output.losses = LossMap{{"val/boring/always", torch::tensor(3.0)}};
    if (batch % 2 == 0) output.losses->emplace("val/boring/sometimes", torch::tensor(batch + 1.0));
    ++batch;
  };
  // 10 samples in batches of 4, 4 and 2. The first and the last have `sometimes`, of 1 and 3: their
  // 6 samples give (4 * 1 + 2 * 3) / 6. Over all 10 it would be 1, over the batches 2.
  const Numbers numbers = run(4);
  ASSERT_EQ(batch, 3);
  EXPECT_DOUBLE_EQ(numbers.at("val/boring/sometimes"), 10.0 / 6);
  EXPECT_EQ(numbers.at("val/boring/always"), 3);
  EXPECT_DOUBLE_EQ(numbers.at("val/total_loss"), 3 + 10.0 / 6);
}

// As of pretraining: the model knows what it wants.
TEST_F(EvaluationTest, LossesThatTheModelMakesNeedNoTargets) {
  data_.has_targets = false;
  EXPECT_TRUE(run(4).empty());  // the config's loss and metric do
  model_->on_forward = [](ModelOutput& output) {
    output.losses = LossMap{{"val/boring/own", torch::tensor(2.0)}};
  };
  EXPECT_EQ(run(4), (Numbers{{"val/boring/own", 2}, {"val/total_loss", 2}}));
}

TEST_F(EvaluationTest, DropoutIsOffAndTheModelIsAsItWas) {
  model_->train();
  EXPECT_EQ(run(10), run(10));
  EXPECT_TRUE(model_->is_training());
  model_->eval();
  static_cast<void>(run(10));
  EXPECT_FALSE(model_->is_training());
}

TEST_F(EvaluationTest, EverySampleIsVisitedOnceInOrder) {
  std::vector<float> seen;
  static_cast<void>(run(4, [&](const Report& report) {
    const at::Tensor& x = report.batch.tensor("x");
    for (std::int64_t i = 0; i < x.size(0); ++i) seen.push_back(x[i][0].item<float>());
    EXPECT_EQ(report.output.scores.size(0), x.size(0));
    EXPECT_FALSE(report.output.scores.requires_grad());
  }));
  ASSERT_EQ(seen.size(), 10U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(EvaluationTest, AMetricMayBeOfCertainDataSets) {
  const Value other =
      Value::Table{{"type", "accuracy"}, {"key", "other"}, {"datasets", Value::Array{"another"}}};
  const MetricList list(metrics({"accuracy", other}), registry_);
  EXPECT_EQ(list.compute("val", "boring").size(), 1U);
  EXPECT_EQ(list.compute("val", "another").size(), 2U);
}

// A metric with a param that a data set knows.
class FactMetric final : public Metric {
 public:
  static ComponentSpec spec() {
    return {"", {{.name = "answers", .fallback = Value::Array{}, .meaning = "words"}}};
  }
  explicit FactMetric(const Config& params)
      : count_(params.get<std::vector<std::string>>("answers").size()) {}
  void update(const SampleList& /*batch*/, const ModelOutput& /*output*/) override {}
  void merge(const Metric& /*other*/) override {}
  std::map<std::string, double> compute() const override {
    return {{"", static_cast<double>(count_)}};
  }
  void reset() override {}

 private:
  std::size_t count_;
};

TEST_F(EvaluationTest, WhatTheDataSetKnowsIsFilledIn) {
  registry_.publish({detail::metric_node<FactMetric>("fact")}, "test");
  const Value facts = Value::Table{{"answers", Value::Array{"red", "blue"}}, {"other", 1}};
  EXPECT_EQ(MetricList(metrics({"fact"}), registry_, facts).compute("v", "d").at("v/d/fact"), 2);
  const Value given =
      Value::Table{{"type", "fact"}, {"params", Value::Table{{"answers", Value::Array{"a"}}}}};
  EXPECT_EQ(MetricList(metrics({given}), registry_, facts).compute("v", "d").at("v/d/fact"), 1);
}

TEST_F(EvaluationTest, AMetricsKeyIsAName) {
  for (const char* key : {"", "a/b", "a\nb"}) {
    const Value metric = Value::Table{{"type", "accuracy"}, {"key", key}};
    EXPECT_THROW(MetricList(metrics({metric}), registry_), Error) << key;
  }
}

TEST_F(EvaluationTest, TwoMetricsOfOneKeyAreRefused) {
  try {
    MetricList(metrics({"accuracy", "accuracy"}), registry_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("metrics[1] is a second metric with the key 'accuracy'"));
  }
  const Value second =
      Value::Table{{"type", "accuracy"}, {"key", "top2"}, {"params", Value::Table{{"topk", 2}}}};
  EXPECT_EQ(MetricList(metrics({"accuracy", second}), registry_).compute("val", "d").size(), 2U);
}

// Two data sets, "boring" of 10 samples and "more" of 4, in batches of 4.
class SeveralDataSetsTest : public EvaluationTest {
 protected:
  SeveralDataSetsTest() : first_(data_, options("boring")), second_(more_, options("more")) {}

  [[nodiscard]] static LoaderOptions options(const char* name) {
    LoaderOptions options;
    options.dataset_name = name;
    options.dataset_type = "val";
    options.batch_size = 4;
    return options;
  }
  [[nodiscard]] EvaluationInput input(std::vector<BatchSource*> loaders) {
    return {*model_, std::move(loaders), of_both_, c10::Device(c10::kCPU)};
  }

  BoringDataset more_{4};
  DataLoader first_;
  DataLoader second_;
  const Value of_one_ =
      Value::Table{{"type", "accuracy"}, {"key", "one"}, {"datasets", Value::Array{"more"}}};
  MetricList of_both_{
      metrics({"accuracy", of_one_}), registry_,
      std::map<std::string, Value>{{"boring", Value::Table{}}, {"more", Value::Table{}}}};
};

TEST_F(SeveralDataSetsTest, EachHasTheNumbersThatItHasAlone) {
  Numbers expected = evaluate(input({&first_}));
  EXPECT_FALSE(expected.contains("val/boring/one"));
  Numbers second = evaluate(input({&second_}));
  EXPECT_TRUE(second.contains("val/more/one"));
  const double total = expected.at("val/total_loss") + second.at("val/total_loss");
  expected.merge(second);
  const Numbers both = evaluate(input({&first_, &second_}));
  expected["val/total_loss"] = both.at("val/total_loss");
  EXPECT_EQ(both, expected);
  // Each data set counts alike: it is no mean over the samples of both.
  EXPECT_DOUBLE_EQ(both.at("val/total_loss"), total);
}

TEST_F(SeveralDataSetsTest, TheLimitIsOfEachDataSet) {
  std::vector<std::string> seen;
  EvaluationInput limited = input({&first_, &second_});
  limited.max_batches = 1;
  limited.hooks.on_batch_start = [&](const SampleList& batch) {
    seen.push_back("start " + batch.dataset_name());
  };
  limited.hooks.on_batch_end = [&](const SampleList& batch, const ModelOutput& output) {
    EXPECT_EQ(output.scores.size(0), batch.batch_size());
    EXPECT_TRUE(output.losses.has_value());
    seen.push_back("end " + batch.dataset_name());
  };
  static_cast<void>(evaluate(limited));
  EXPECT_THAT(seen, testing::ElementsAre("start boring", "end boring", "start more", "end more"));
}

TEST_F(SeveralDataSetsTest, AMetricKeepsWhatItTookInOfEachApart) {
  SampleList batch;
  batch.add_field("targets", torch::one_hot(torch::tensor({0, 1}), 3).to(torch::kFloat));
  ModelOutput right;
  right.scores = batch.tensor("targets");
  batch.set_dataset("boring", "train");
  of_both_.update(batch, right);
  ModelOutput half;  // says 0 of both
  half.scores = torch::one_hot(torch::tensor({0, 0}), 3).to(torch::kFloat);
  batch.set_dataset("more", "train");
  of_both_.update(batch, half);
  EXPECT_EQ(of_both_.compute("train", "boring"), (Numbers{{"train/boring/accuracy", 1}}));
  EXPECT_EQ(of_both_.compute("train", "more"),
            (Numbers{{"train/more/accuracy", 0.5}, {"train/more/one", 0.5}}));
}

TEST_F(SeveralDataSetsTest, EachMetricIsMadeWithWhatItsDataSetKnows) {
  registry_.publish({detail::metric_node<FactMetric>("fact")}, "test");
  const std::map<std::string, Value> facts = {
      {"one", Value::Table{{"answers", Value::Array{"red"}}}},
      {"two", Value::Table{{"answers", Value::Array{"red", "blue"}}}}};
  const MetricList list(metrics({"fact"}), registry_, facts);
  EXPECT_EQ(list.compute("v", "one"), (Numbers{{"v/one/fact", 1}}));
  EXPECT_EQ(list.compute("v", "two"), (Numbers{{"v/two/fact", 2}}));
}

TEST_F(EvaluationTest, MetricsOnTheCpuMeasureTheSame) {
  LoaderOptions options;
  options.dataset_name = "boring";
  options.dataset_type = "val";
  options.batch_size = 4;
  DataLoader loader(data_, options);
  EvaluationInput input{*model_, {&loader}, metrics_, c10::Device(c10::kCPU)};
  input.use_cpu = true;
  EXPECT_EQ(evaluate(input), run(4));
}

// Under autocast a linear layer gives bfloat16, which not every metric takes.
TEST_F(EvaluationTest, StepsComputeInTheirPrecisionAndMetricsInFloat) {
  LoaderOptions options;
  options.dataset_name = "boring";
  options.dataset_type = "val";
  options.batch_size = 10;
  DataLoader loader(data_, options);
  at::ScalarType inside = at::kFloat;
  model_->on_forward = [&](ModelOutput& output) { inside = output.scores.scalar_type(); };
  EvaluationInput input{*model_, {&loader}, metrics_, c10::Device(c10::kCPU)};
  input.precision = Precision::kBf16;
  at::ScalarType outside = at::kBFloat16;
  const Numbers numbers =
      evaluate(input, [&](const Report& report) { outside = report.output.scores.scalar_type(); });
  EXPECT_EQ(inside, at::kBFloat16);
  EXPECT_EQ(outside, at::kFloat);
  const double whole = run(10).at("val/boring/logit_bce");
  EXPECT_NEAR(numbers.at("val/boring/logit_bce"), whole, 0.01 * whole);
}

}  // namespace
}  // namespace pergola::host
