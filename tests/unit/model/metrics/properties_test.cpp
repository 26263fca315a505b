// SPDX-License-Identifier: BSD-3-Clause
// What holds for every numeric metric.
#include "host/device/waiting_operations.h"
#include "unit/model/metrics/metric_helpers.h"
#include "unit/model/metrics/text_metric_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::IsEmpty;

constexpr std::int64_t kSamples = 60;
constexpr std::int64_t kCaptions = 3;

enum class Input { kClasses, kTwoClasses, kLabels, kSoftAnswers, kEmbeddings };

struct Subject {
  const char* key;
  Input input;
  Value::Table params = {};
};

// In steps of 1/2, so that there are ties.
at::Tensor random_scores(std::int64_t rows, std::int64_t columns) {
  return (torch::randn({rows, columns}) * 2).round() / 2;
}

MetricBatch random_batch(Input input) {
  torch::manual_seed(7);
  if (input == Input::kEmbeddings) {
    return {random_scores(kSamples, 5), at::zeros({kSamples}),
            random_scores(kSamples * kCaptions, 5)};
  }
  const std::int64_t classes = input == Input::kTwoClasses ? 2 : 12;
  const at::Tensor numbers = torch::randint(classes, {kSamples}, torch::kLong);
  MetricBatch batch{random_scores(kSamples, classes) + at::one_hot(numbers, classes), numbers};
  if (input == Input::kLabels) batch.targets = torch::randint(2, {kSamples, classes}, torch::kLong);
  if (input == Input::kSoftAnswers) batch.targets = torch::rand({kSamples, classes});
  return batch;
}

MetricBatch rows(const MetricBatch& batch, std::int64_t first, std::int64_t end) {
  MetricBatch part{batch.scores.slice(0, first, end), batch.targets.slice(0, first, end)};
  if (batch.texts.defined()) {
    part.texts = batch.texts.slice(0, first * kCaptions, end * kCaptions);
  }
  return part;
}

MetricBatch mapped(const MetricBatch& batch, const std::function<at::Tensor(at::Tensor)>& change) {
  MetricBatch other{change(batch.scores), batch.targets};
  if (batch.texts.defined()) other.texts = change(batch.texts);
  return other;
}

std::ostream& operator<<(std::ostream& out, const Subject& subject) { return out << subject.key; }

class MetricProperties : public ::testing::TestWithParam<Subject> {
 protected:
  [[nodiscard]] std::unique_ptr<Metric> make() const {
    return make_metric(GetParam().key, GetParam().params);
  }
  [[nodiscard]] std::map<std::string, double> values(const MetricBatch& batch) const {
    const auto metric = make();
    update(*metric, batch);
    return metric->compute();
  }
  // The batch, cut at random places into parts that go to three ranks at random.
  [[nodiscard]] std::map<std::string, double> values_in_parts(std::mt19937& random) const {
    std::vector<std::unique_ptr<Metric>> ranks;
    for (int rank = 0; rank < 3; ++rank) ranks.push_back(make());
    std::int64_t first = 0;
    while (first < kSamples) {
      const std::int64_t end =
          std::min<std::int64_t>(kSamples, first + 1 + static_cast<std::int64_t>(random() % 25));
      update(*ranks[random() % 3], rows(batch_, first, end));
      first = end;
    }
    std::shuffle(ranks.begin(), ranks.end(), random);
    const auto whole = make();  // has seen nothing
    for (const auto& rank : ranks) whole->merge(*rank);
    return whole->compute();
  }

  MetricBatch batch_ = random_batch(GetParam().input);
};

void expect_not_a_number(const Metric& metric) {
  for (const auto& [child, value] : metric.compute()) EXPECT_TRUE(std::isnan(value)) << child;
}

TEST_P(MetricProperties, AnyCutIntoBatchesAndRanksGivesTheVerySameNumbers) {
  const auto expected = values(batch_);
  std::mt19937 random(11);  // NOLINT(cert-msc51-cpp): the same cuts each time
  for (int trial = 0; trial < 20; ++trial) EXPECT_EQ(values_in_parts(random), expected);
}

TEST_P(MetricProperties, ValuesAreNumbersInTheMiddle) {
  for (const auto& [child, value] : values(batch_)) {
    EXPECT_GT(value, 0) << child;
    EXPECT_TRUE(value < 1 || std::string(GetParam().key) == "mean_r") << child << " " << value;
  }
}

TEST_P(MetricProperties, NothingSeenIsNotANumberAndMergesAsNothing) {
  const auto metric = make();
  expect_not_a_number(*metric);
  metric->merge(*make());
  expect_not_a_number(*metric);
  update(*metric, rows(batch_, 0, 0));
  expect_not_a_number(*metric);
  update(*metric, batch_);
  metric->merge(*make());
  EXPECT_EQ(metric->compute(), values(batch_));
  metric->reset();
  expect_not_a_number(*metric);
}

TEST_P(MetricProperties, HalfPrecisionIsWidenedBeforeAnythingElse) {
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    const auto narrow = [&](const at::Tensor& tensor) { return (tensor * 1.37).to(type); };
    const auto widened = [&](const at::Tensor& tensor) { return narrow(tensor).to(at::kFloat); };
    EXPECT_EQ(values(mapped(batch_, narrow)), values(mapped(batch_, widened)));
  }
}

TEST_P(MetricProperties, OneSampleThatIsNotANumberIsNoGain) {
  // A choice less can make precision better, and F1 with it; f1_test has what a NaN does there.
  if (std::string(GetParam().key).find("f1") != std::string::npos) GTEST_SKIP() << "not of F1";
  MetricBatch worse = mapped(batch_, [](const at::Tensor& tensor) { return tensor.clone(); });
  worse.scores[0] = std::nan("");
  const auto before = values(batch_);
  for (const auto& [child, value] : values(worse)) {
    const bool larger_is_worse = std::string(GetParam().key) == "mean_r";
    EXPECT_TRUE(std::isnan(value) ||
                (larger_is_worse ? value > before.at(child) : value <= before.at(child)))
        << child << " is " << value << ", before " << before.at(child);
  }
}

TEST_P(MetricProperties, UpdateDoesNotWaitForTheDevice) {
  const auto metric = make();
  const ::pergola::host::WaitingOperations watch;
  update(*metric, rows(batch_, 0, 30));
  update(*metric, rows(batch_, 30, 60));
  EXPECT_THAT(watch.counts(), IsEmpty());
}

TEST_P(MetricProperties, UpdateReadsNoData) {
  const auto to_meta = [](const at::Tensor& tensor) { return tensor.to(at::kMeta); };
  MetricBatch meta = mapped(batch_, to_meta);
  meta.targets = to_meta(meta.targets);
  const auto metric = make();
  update(*metric, meta);
  EXPECT_NO_THROW(update(*metric, meta));
}

TEST_P(MetricProperties, InputsAreNotWrittenTo) {
  const MetricBatch copy = mapped(batch_, [](const at::Tensor& t) { return t.clone(); });
  const at::Tensor targets = batch_.targets.clone();
  static_cast<void>(values(batch_));
  EXPECT_TRUE(batch_.scores.equal(copy.scores));
  EXPECT_TRUE(batch_.targets.equal(targets));
  if (copy.texts.defined()) {
    EXPECT_TRUE(batch_.texts.equal(copy.texts));
  }
}

TEST_P(MetricProperties, SaysWhatItIs) {
  const auto spec = builtin_registry().spec(Kind::kMetric, GetParam().key);
  ASSERT_TRUE(spec.has_value());
  EXPECT_FALSE(spec->summary.empty());
  for (const ParamSpec& param : spec->params) EXPECT_FALSE(param.meaning.empty()) << param.name;
}

std::vector<Subject> subjects() {
  return {{"accuracy", Input::kClasses},
          {"topk_accuracy", Input::kClasses, {{"k", 3}}},
          {"vqa_accuracy", Input::kSoftAnswers},
          {"r@1", Input::kClasses},
          {"r@5", Input::kClasses},
          {"r@10", Input::kClasses},
          {"mean_r", Input::kClasses},
          {"mean_rr", Input::kClasses},
          {"r@k_retrieval", Input::kEmbeddings, {{"k", 20}}},
          {"r@1_retrieval", Input::kEmbeddings},
          {"r@5_retrieval", Input::kEmbeddings},
          {"r@10_retrieval", Input::kEmbeddings},
          {"r@1_rev_retrieval", Input::kEmbeddings},
          {"r@5_rev_retrieval", Input::kEmbeddings},
          {"r@10_rev_retrieval", Input::kEmbeddings},
          {"f1", Input::kTwoClasses},
          {"macro_f1", Input::kClasses},
          {"micro_f1", Input::kClasses},
          {"binary_f1", Input::kTwoClasses},
          {"multilabel_f1", Input::kLabels},
          {"multilabel_micro_f1", Input::kLabels},
          {"multilabel_macro_f1", Input::kLabels},
          {"f1_precision_recall", Input::kClasses, {{"average", "weighted"}}},
          {"binary_f1_precision_recall", Input::kTwoClasses},
          {"macro_f1_precision_recall", Input::kClasses},
          {"micro_f1_precision_recall", Input::kClasses},
          {"roc_auc", Input::kClasses},
          {"macro_roc_auc", Input::kLabels},
          {"micro_roc_auc", Input::kClasses},
          {"ap", Input::kClasses},
          {"macro_ap", Input::kLabels},
          {"micro_ap", Input::kClasses},
          {"binary_ap", Input::kTwoClasses},
          {"r@pk", Input::kTwoClasses, {{"p_threshold", 0.7}}}};
}

INSTANTIATE_TEST_SUITE_P(Builtin, MetricProperties, ::testing::ValuesIn(subjects()),
                         [](const ::testing::TestParamInfo<Subject>& subject) {
                           std::string name = subject.param.key;
                           std::replace(name.begin(), name.end(), '@', '_');
                           return name;
                         });

TEST(MetricPropertiesTest, EveryMetricOfTheHostIsAmongTheSubjectsHereOrOfTheTextMetrics) {
  std::set<std::string> checked(kTextMetricKeys.begin(), kTextMetricKeys.end());
  for (const Subject& subject : subjects()) checked.insert(subject.key);
  std::vector<std::string> forgotten;
  for (const std::string& key : builtin_registry().keys(Kind::kMetric)) {
    if (!checked.contains(key)) forgotten.push_back(key);
  }
  EXPECT_THAT(forgotten, IsEmpty());
}

}  // namespace
}  // namespace pergola::host
