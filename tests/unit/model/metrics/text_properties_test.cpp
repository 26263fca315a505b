// SPDX-License-Identifier: BSD-3-Clause
// What holds for every metric of texts and boxes.
#include "host/device/waiting_operations.h"
#include "unit/model/metrics/detection_helpers.h"
#include "unit/model/metrics/text_helpers.h"
#include "unit/model/metrics/text_metric_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::IsEmpty;

constexpr std::int64_t kSamples = 60;

// kSamples samples, any of which make a batch.
class Samples {
 public:
  virtual ~Samples() = default;
  [[nodiscard]] virtual TextBatch batch(const std::vector<std::int64_t>& rows) const = 0;
};

const Strings& words() {
  static const Strings kAll{"<unk>", "<s>", "</s>", "red", "blue",
                            "one",   "dog", "the",  "cat", "sky"};
  return kAll;
}

// Predictions of up to five words and two context tokens, in steps of 1/2, so that there are ties.
class RandomTexts final : public Samples {
 public:
  explicit RandomTexts(bool sequences, bool tokens) : sequences_(sequences) {
    torch::manual_seed(3);
    std::mt19937 random(5);  // NOLINT(cert-msc51-cpp): the same texts each time
    const auto count = static_cast<std::int64_t>(words().size()) + (tokens ? 2 : 0);
    scores_ = (torch::randn({kSamples, 5, count}) * 2).round() / 2;
    const auto word = [&] { return words()[3 + random() % 7]; };
    for (std::int64_t i = 0; i < kSamples; ++i) {
      Strings answers;
      for (std::size_t n = 1 + random() % 10; n > 0; --n) {
        answers.push_back(random() % 2 == 0 ? word() : word() + " " + word() + " " + word());
      }
      samples_.push_back({{}, answers, {word(), word()}});
    }
  }
  [[nodiscard]] TextBatch batch(const std::vector<std::int64_t>& rows) const override {
    std::vector<TextSample> part;
    for (const std::int64_t row : rows) part.push_back(samples_[static_cast<std::size_t>(row)]);
    TextBatch made{fields_of(part), {}};
    const at::Tensor scores = scores_.index_select(0, at::tensor(rows, at::kLong));
    made.output.scores = sequences_ ? scores : scores.select(1, 0);
    return made;
  }

 private:
  bool sequences_;
  at::Tensor scores_;
  std::vector<TextSample> samples_;
};

// Boxes near those of the objects, and others, with few different scores.
class RandomImages final : public Samples {
 public:
  RandomImages() {
    torch::manual_seed(4);
    for (std::int64_t i = 0; i < kSamples; ++i) {
      DetectionImage image;
      image.id = (i * 37) % 101;
      const std::int64_t objects = i % 4;
      const at::Tensor from = torch::randint(40, {objects, 2}, torch::kFloat);
      const at::Tensor size = torch::randint(4, 24, {objects, 2}, torch::kFloat);
      image.truths_G4 = at::cat({from, from + size}, 1);
      image.labels_G = torch::randint(3, {objects}, torch::kLong);
      image.crowds_G = torch::randint(4, {objects}, torch::kLong).eq(0);
      const at::Tensor near = at::cat({from + size / 2, size}, 1).repeat({2, 1});
      const at::Tensor far = torch::randint(1, 40, {8 - 2 * objects, 4}, torch::kFloat);
      image.boxes_N4 = (at::cat({near, far}) + torch::randint(-1, 2, {8, 4}, torch::kFloat)) / 64;
      image.logits_NC = torch::randint(4, {8, 4}, torch::kFloat);
      for (std::int64_t n = 0; n < 2 * objects; ++n) {
        image.logits_NC[n][image.labels_G[n % objects]] += 3;
      }
      images_.push_back(image);
    }
  }
  [[nodiscard]] TextBatch batch(const std::vector<std::int64_t>& rows) const override {
    std::vector<DetectionImage> part;
    for (const std::int64_t row : rows) part.push_back(images_[static_cast<std::size_t>(row)]);
    return {batch_of(part), output_of(part)};
  }

 private:
  std::vector<DetectionImage> images_;
};

class TextMetricProperties : public ::testing::TestWithParam<const char*> {
 protected:
  TextMetricProperties() {
    const std::string key = GetParam();
    if (key == "detection_mean_ap") {
      samples_ = std::make_unique<RandomImages>();
    } else {
      params_["answers"] = array_of(words());
      samples_ =
          std::make_unique<RandomTexts>(key != "vqa_evalai_accuracy", key != "caption_bleu4");
    }
    for (std::int64_t row = 0; row < kSamples; ++row) all_.push_back(row);
  }
  [[nodiscard]] std::unique_ptr<Metric> make() const { return make_metric(GetParam(), params_); }
  void add(Metric& metric, const std::vector<std::int64_t>& rows) const {
    const TextBatch made = samples_->batch(rows);
    metric.update(made.batch, made.output);
  }
  [[nodiscard]] double value() const {
    const auto metric = make();
    add(*metric, all_);
    return value_of(*metric);
  }

  // The same with each of the model's tensors changed.
  template <class Change>
  [[nodiscard]] double value_with(const Change& change) const {
    TextBatch made = samples_->batch(all_);
    if (made.output.scores.defined()) made.output.scores = change(made.output.scores);
    for (auto& [name, tensor] : made.output.fields) tensor = change(tensor);
    const auto metric = make();
    metric->update(made.batch, made.output);
    return value_of(*metric);
  }

  Value::Table params_;
  std::unique_ptr<Samples> samples_;
  std::vector<std::int64_t> all_;
};

TEST_P(TextMetricProperties, AnyOrderCutAndRanksGiveTheVerySameNumber) {
  const double expected = value();
  EXPECT_GT(expected, 0);
  EXPECT_LT(expected, 1);
  std::mt19937 random(11);  // NOLINT(cert-msc51-cpp): the same cuts each time
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<std::int64_t> rows = all_;
    std::shuffle(rows.begin(), rows.end(), random);
    std::vector<std::unique_ptr<Metric>> ranks;
    for (int rank = 0; rank < 3; ++rank) ranks.push_back(make());
    for (auto first = rows.begin(); first != rows.end();) {
      const auto end =
          first + std::min<std::ptrdiff_t>(rows.end() - first,
                                           1 + static_cast<std::ptrdiff_t>(random() % 25));
      add(*ranks[random() % 3], {first, end});
      first = end;
    }
    std::shuffle(ranks.begin(), ranks.end(), random);
    const auto whole = make();  // has seen nothing
    for (const auto& rank : ranks) whole->merge(*rank);
    EXPECT_EQ(value_of(*whole), expected);
  }
}

TEST_P(TextMetricProperties, NothingSeenIsNotANumberAndMergesAsNothing) {
  const auto metric = make();
  EXPECT_TRUE(std::isnan(value_of(*metric)));
  metric->merge(*make());
  EXPECT_TRUE(std::isnan(value_of(*metric)));
  add(*metric, all_);
  metric->merge(*make());
  EXPECT_EQ(value_of(*metric), value());
  EXPECT_EQ(value_of(*metric), value());  // asking changes nothing
  metric->reset();
  EXPECT_TRUE(std::isnan(value_of(*metric)));
}

TEST_P(TextMetricProperties, HalfPrecisionIsWidenedBeforeAnythingElse) {
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    const auto narrow = [&](const at::Tensor& tensor) { return (tensor * 1.37).to(type); };
    const auto widened = [&](const at::Tensor& tensor) { return narrow(tensor).to(at::kFloat); };
    EXPECT_EQ(value_with(narrow), value_with(widened));
  }
}

// Sample 3 as a model gives it whose weights are gone, and as one that masks all words. That may be
// a gain: its text is empty, as is EvalAI's form of "the", which is one of its answers.
TEST_P(TextMetricProperties, SampleThatIsNotANumberIsOneWithoutWords) {
  const std::string key = GetParam();
  if (key == "detection_mean_ap") GTEST_SKIP() << "has no words; detection_test has what NaN does";
  const auto with_row = [&](double number) {
    return value_with([&](const at::Tensor& tensor) {
      at::Tensor changed = tensor.clone();
      changed.select(0, 3).fill_(number);
      return changed;
    });
  };
  const double found = with_row(std::nan(""));
  EXPECT_EQ(found, with_row(-std::numeric_limits<double>::infinity()));
  EXPECT_FALSE(std::isnan(found));
}

TEST_P(TextMetricProperties, OneScoreThatIsNotANumberTakesItsWordAlone) {
  const std::string key = GetParam();
  if (key == "detection_mean_ap") GTEST_SKIP() << "has no words; detection_test has what NaN does";
  const auto with_place = [&](bool whole) {
    return value_with([&](const at::Tensor& tensor) {
      at::Tensor changed = tensor.clone();
      at::Tensor place = changed.select(0, 3);
      while (place.dim() > 1) place = place.select(0, 0);
      (whole ? place : place.slice(0, 4, 5)).fill_(std::nan(""));
      return changed;
    });
  };
  EXPECT_EQ(with_place(/*whole=*/false), with_place(/*whole=*/true));
}

TEST_P(TextMetricProperties, UpdateDoesNotWaitForTheDevice) {
  const auto metric = make();
  const TextBatch made = samples_->batch(all_);
  const ::pergola::host::WaitingOperations watch;
  metric->update(made.batch, made.output);
  EXPECT_THAT(watch.counts(), IsEmpty());
}

TEST_P(TextMetricProperties, UpdateReadsNoData) {
  const auto metric = make();
  TextBatch made = samples_->batch(all_);
  if (made.output.scores.defined()) made.output.scores = made.output.scores.to(at::kMeta);
  for (auto& [name, tensor] : made.output.fields) tensor = tensor.to(at::kMeta);
  EXPECT_NO_THROW(metric->update(made.batch.to(at::kMeta), made.output));
}

TEST_P(TextMetricProperties, InputsAreNotWrittenTo) {
  const auto metric = make();
  const TextBatch made = samples_->batch(all_);
  const ModelOutput& output = made.output;
  std::vector<at::Tensor> before;
  if (output.scores.defined()) before.push_back(output.scores.clone());
  for (const auto& [name, tensor] : output.fields) before.push_back(tensor.clone());
  metric->update(made.batch, output);
  static_cast<void>(value_of(*metric));
  std::size_t i = 0;
  if (output.scores.defined()) {
    EXPECT_TRUE(before[i++].equal(output.scores));
  }
  for (const auto& [name, tensor] : output.fields) {
    EXPECT_TRUE(before[i++].equal(tensor)) << name;
  }
}

TEST_P(TextMetricProperties, SaysWhatItIs) {
  const auto spec = builtin_registry().spec(Kind::kMetric, GetParam());
  ASSERT_TRUE(spec.has_value());
  EXPECT_FALSE(spec->summary.empty());
  for (const ParamSpec& param : spec->params) EXPECT_FALSE(param.meaning.empty()) << param.name;
}

INSTANTIATE_TEST_SUITE_P(Builtin, TextMetricProperties, ::testing::ValuesIn(kTextMetricKeys),
                         [](const auto& subject) { return std::string(subject.param); });

}  // namespace
}  // namespace pergola::host
