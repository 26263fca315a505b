// SPDX-License-Identifier: BSD-3-Clause
// Metrics of texts and boxes on a GPU: the numbers of the CPU. With metrics_gpu_test.cpp, all that
// there are. No two scores are alike: which of these comes first, devices may answer differently.
#include "gpu/gpu_fixture.h"
#include "unit/model/metrics/detection_helpers.h"
#include "unit/model/metrics/golden_cases.h"
#include "unit/model/metrics/text_helpers.h"
#include "unit/model/metrics/text_metric_keys.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::int64_t kTexts = 60;
constexpr std::int64_t kPlaces = 5;

const Strings& some_words() {
  static const Strings kAll{"<unk>", "<s>", "</s>", "red", "blue", "one", "dog", "cat", "sky"};
  return kAll;
}

// Scores [B, T, C] of the words and of two tokens of the context. Every other sample has among its
// answers what it says in words, and the next one has that of its neighbour.
TextBatch text_batch(const std::string& metric) {
  const auto words = static_cast<std::int64_t>(some_words().size());
  const std::int64_t tokens = metric == "caption_bleu4" ? 0 : 2;
  TextBatch made;
  at::Tensor scores = torch::randn({kTexts, kPlaces, words + tokens});
  scores.slice(-1, 3, words) += 1.5;  // or hardly a text has words alone
  if (metric == "vqa_evalai_accuracy") scores = scores.select(1, 0);
  const at::Tensor best = scores.slice(-1, 3, words).argmax(-1).view({kTexts, -1}) + 3;
  std::vector<TextSample> samples;
  for (std::int64_t i = 0; i < kTexts; ++i) {
    const at::Tensor row = best[(i + i % 2) % kTexts];
    std::string text;
    for (std::int64_t t = 0; t < row.size(0); ++t) {
      const auto word = static_cast<std::size_t>(row[t].item<std::int64_t>());
      text += (t == 0 ? "" : " ") + some_words()[word];
    }
    samples.push_back({{}, {text, some_words()[3]}, {"exit", "stop"}});
  }
  made.batch = fields_of(samples);
  made.output.scores = scores;
  return made;
}

// Six images with an object each, of which half are found.
TextBatch image_batch() {
  std::vector<DetectionImage> images;
  for (std::int64_t i = 0; i < 6; ++i) {
    DetectionImage image;
    image.id = i + 1;
    const auto side = static_cast<float>(16 + i);
    image.truths_G4 = torch::tensor({{8.0F, 8.0F, 8 + side, 8 + side}});
    image.labels_G = torch::tensor({i % 2}, torch::kLong);
    image.crowds_G = torch::zeros({1}, torch::kBool);
    const float centre = (8 + side / 2) / 64;
    const float moved = i % 2 == 0 ? centre : centre + 0.4F;
    image.boxes_N4 = torch::tensor(
        {{moved, moved, side / 64, side / 64}, {0.8F, 0.2F, 0.1F, 0.1F + 0.01F * moved}});
    image.logits_NC = torch::randn({2, 3});
    image.logits_NC[0][i % 2] += 3;
    images.push_back(image);
  }
  return {batch_of(images), output_of(images)};
}

double value_on(c10::Device device, const std::string& key, const TextBatch& made) {
  Value::Table params;
  if (key != "detection_mean_ap") params["answers"] = array_of(some_words());
  const auto metric = make_metric(key, params);
  ModelOutput output = made.output;
  if (output.scores.defined()) output.scores = output.scores.to(device);
  for (auto& [name, field] : output.fields) field = field.to(device);
  metric->update(made.batch.to(device), output);
  return value_of(*metric);
}

TextBatch batch_for(const std::string& key) {
  torch::manual_seed(3);
  return key == "detection_mean_ap" ? image_batch() : text_batch(key);
}

class GpuTextMetricsTest : public OnGpu<> {};

TEST_F(GpuTextMetricsTest, TextsAndBoxesAreCountedAsOnTheCpu) {
  for (const std::string key : kTextMetricKeys) {
    const TextBatch made = batch_for(key);
    EXPECT_DOUBLE_EQ(value_on(device_, key, made), value_on(c10::Device(c10::kCPU), key, made))
        << key;
  }
}

// These need no GPU.
TEST(GpuMetricsListTest, BatchesOfTextsAndBoxesHaveSomeThatAreRight) {
  for (const std::string key : kTextMetricKeys) {
    const double value = value_on(c10::Device(c10::kCPU), key, batch_for(key));
    EXPECT_GT(value, 0.1) << key;
    EXPECT_LT(value, 0.9) << key;
  }
}

TEST(GpuMetricsListTest, EveryMetricIsInATest) {
  std::set<std::string> tested(kTextMetricKeys.begin(), kTextMetricKeys.end());
  for (const golden::Case& one : golden::cases()) tested.insert(one.metric);
  for (const std::string& key : builtin_registry().keys(Kind::kMetric)) {
    EXPECT_TRUE(tested.contains(key))
        << "metric '" << key
        << "' has no test on a GPU; give it a case in tests/golden/metrics.json"
        << " (tools/reference/metrics.py), or name it in text_metric_keys.h and give it a batch in "
        << "text_metrics_gpu_test.cpp";
  }
}

}  // namespace
}  // namespace pergola::host
