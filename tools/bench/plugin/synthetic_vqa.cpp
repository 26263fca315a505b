// SPDX-License-Identifier: BSD-3-Clause
// The data set `synthetic_vqa`: what a sample of VQA v2 looks like once it is read. Everything in
// it is a function of seed, split and index. Legend: T = text_length, A = answers.
#include "pergola/plugin.h"
#include "tools/bench/plugin/feature_pool.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>

namespace pergola::bench {
namespace {

struct VqaConfig {
  std::int64_t samples;
  std::uint64_t seed;
  bool pieces;
  std::int64_t text_length;
  std::int64_t vocabulary;
  std::int64_t answers;

  [[nodiscard]] static VqaConfig parse(const Config& config) {
    return {config.get<std::int64_t>("samples"),
            static_cast<std::uint64_t>(config.get<std::int64_t>("seed")),
            config.get<std::string>("text") == "pieces",
            config.get<std::int64_t>("text_length"),
            config.get<std::int64_t>("vocabulary"),
            config.get<std::int64_t>("answers")};
  }
};

// Word pieces of a question with [CLS] and [SEP]: VQA v2's have 9.2 on average, from 5 to 23.
std::int64_t draw_pieces(Rng& rng) {
  constexpr double kMean = 9.2;
  constexpr double kDeviation = 2.4;
  const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));  // Box and Muller's method
  const double normal = radius * std::cos(2 * std::numbers::pi * rng.uniform());
  return std::clamp<std::int64_t>(std::llround(kMean + kDeviation * normal), 5, 23);
}

at::ScalarType feature_type(const std::string& name) {
  return name == "bfloat16" ? at::kBFloat16 : name == "float16" ? at::kHalf : at::kFloat;
}

class SyntheticVqa final : public Dataset {
 public:
  explicit SyntheticVqa(const DatasetOptions& options)
      : config_(VqaConfig::parse(options.config)),
        split_(options.type == "train" ? 0
               : options.type == "val" ? 1
                                       : 2),
        regions_(make_pool(options.config, "regions", 2 * split_)) {
    if (options.config.get<std::int64_t>("grid_regions") == 0) return;
    grid_.emplace(make_pool(options.config, "grid_regions", 2 * split_ + 1));
  }

  std::int64_t size() const override { return config_.samples; }

  Sample get(std::int64_t index, Rng& /*augmentation*/) const override {
    Rng rng(config_.seed, split_, static_cast<std::uint64_t>(index));
    Sample sample;
    add_question(sample, rng);
    const std::uint64_t image = rng.next();
    add_features(sample, "0", regions_.at(image));
    if (grid_) add_features(sample, "1", grid_->at(image));
    if (split_ != kTest)
      sample.set("targets", draw_targets(rng));  // nobody knows those of the test
    return sample;
  }

  Value facts() const override {
    return Value::Table{{"text_vocab_size", config_.vocabulary},
                        {"num_final_outputs", config_.answers}};
  }

 private:
  static constexpr std::uint64_t kTest = 2;

  [[nodiscard]] static FeaturePool make_pool(const Config& config, const char* regions,
                                             std::uint64_t stream) {
    const auto seed = static_cast<std::uint64_t>(config.get<std::int64_t>("seed"));
    return {config.get<std::int64_t>("pool"),
            {config.get<std::int64_t>(regions), config.get<std::int64_t>("feature_dim")},
            Rng(seed, stream).next(),
            feature_type(config.get<std::string>("feature_dtype"))};
  }

  // All of its regions are real, as in the published features of 100 boxes an image.
  static void add_features(Sample& sample, const std::string& number, const at::Tensor& features) {
    auto info = std::make_shared<Sample>();
    info->set("max_features", at::full({}, features.size(0), at::kLong));
    sample.set("image_info_" + number, std::shared_ptr<const Sample>(std::move(info)));
    sample.set("image_feature_" + number, features);
  }

  void add_question(Sample& sample, Rng& rng) const {
    // Without [CLS] and [SEP], words are two fewer.
    const std::int64_t drawn = draw_pieces(rng) - (config_.pieces ? 0 : 2);
    const std::int64_t length = std::min(drawn, config_.text_length);
    const at::Tensor ids_T = at::zeros({config_.text_length}, at::kLong);
    auto* const ids = ids_T.data_ptr<std::int64_t>();
    const auto above_0 = static_cast<std::uint64_t>(config_.vocabulary - 1);  // 0 is the padding
    for (std::int64_t i = 0; i < length; ++i) {
      ids[i] = 1 + static_cast<std::int64_t>(rng.below(above_0));
    }
    if (!config_.pieces) {
      sample.set("text", ids_T);
      sample.set("text_len", at::full({}, length, at::kLong));
      return;
    }
    const at::Tensor mask_T = at::zeros({config_.text_length}, at::kLong);
    std::fill_n(mask_T.data_ptr<std::int64_t>(), length, 1);
    sample.set("input_ids", ids_T);
    sample.set("input_mask", mask_T);
    sample.set("segment_ids", at::zeros({config_.text_length}, at::kLong));
  }

  // Three answers that are right to different degrees.
  [[nodiscard]] at::Tensor draw_targets(Rng& rng) const {
    constexpr std::array<float, 3> kScores = {1.0F, 0.6F, 0.3F};
    const at::Tensor targets_A = at::zeros({config_.answers});
    auto* const targets = targets_A.data_ptr<float>();
    for (const float score : kScores) {
      targets[rng.below(static_cast<std::uint64_t>(config_.answers))] = score;
    }
    return targets_A;
  }

  const VqaConfig config_;
  const std::uint64_t split_;
  const FeaturePool regions_;
  std::optional<const FeaturePool> grid_;
};

PERGOLA_REGISTER_DATASET(SyntheticVqa, "synthetic_vqa");

}  // namespace
}  // namespace pergola::bench
