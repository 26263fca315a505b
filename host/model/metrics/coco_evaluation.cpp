// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/coco_evaluation.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::size_t kMostDetections = 100;  // of a category in an image
constexpr double kLargestArea = 1e10;         // of the range "all"

// N numbers from `first` to `last`, rounded as numpy's linspace does: a recall of 0.3 must be the
// same number as there.
template <std::size_t N>
constexpr std::array<double, N> spread(double first, double last) {
  std::array<double, N> values{};
  const double step = (last - first) / static_cast<double>(N - 1);
  for (std::size_t i = 0; i < N; ++i) values[i] = static_cast<double>(i) * step + first;
  values.back() = last;
  return values;
}

constexpr auto kIous = spread<10>(0.5, 0.95);
constexpr auto kRecalls = spread<101>(0, 1);

double overlap(const Box& detected, const TrueBox& truth) {
  const Box& box = truth.box;
  const double width =
      std::min(detected[0] + detected[2], box[0] + box[2]) - std::max(detected[0], box[0]);
  const double height =
      std::min(detected[1] + detected[3], box[1] + box[3]) - std::max(detected[1], box[1]);
  if (width <= 0 || height <= 0) return 0;
  const double common = width * height;
  const double own = detected[2] * detected[3];
  return common / (truth.crowd ? own : own + box[2] * box[3] - common);
}

bool is_ignored(const TrueBox& truth) {
  return truth.crowd || truth.area < 0 || truth.area > kLargestArea;
}

// Detections and objects of one category in one image.
struct Pair {
  std::vector<const Detection*> detections;
  std::vector<const TrueBox*> truths;
};

using Overlaps = std::vector<std::vector<double>>;  // [detection][truth]

// Matches at the IoU number t, which sets that bit of `judged`.
void match(const Pair& pair, const Overlaps& overlaps, std::size_t t,
           std::vector<JudgedImage::Judged>& judged) {
  const auto bit = static_cast<std::uint16_t>(1U << t);
  std::vector<bool> taken(pair.truths.size());
  for (std::size_t d = 0; d < pair.detections.size(); ++d) {
    constexpr double kAlmostAll = 1 - 1e-10;
    double best = std::min(kIous[t], kAlmostAll);
    const std::size_t none = pair.truths.size();
    std::size_t found = none;
    for (std::size_t g = 0; g < none; ++g) {
      if (taken[g] && !pair.truths[g]->crowd) continue;
      // Those that are ignored come last, and only matter to who has found no other.
      if (found != none && !is_ignored(*pair.truths[found]) && is_ignored(*pair.truths[g])) break;
      if (overlaps[d][g] < best) continue;
      best = overlaps[d][g];
      found = g;
    }
    if (found != none) {
      taken[found] = true;
      judged[d].right |= bit;
      if (is_ignored(*pair.truths[found])) judged[d].ignored |= bit;
    } else {
      const Box& box = pair.detections[d]->box;
      const double area = box[2] * box[3];
      if (area < 0 || area > kLargestArea) judged[d].ignored |= bit;
    }
  }
}

JudgedImage::Category judge_category(Pair pair) {
  std::stable_sort(pair.detections.begin(), pair.detections.end(),
                   [](const auto* left, const auto* right) { return left->score > right->score; });
  if (pair.detections.size() > kMostDetections) pair.detections.resize(kMostDetections);
  std::stable_partition(pair.truths.begin(), pair.truths.end(),
                        [](const TrueBox* truth) { return !is_ignored(*truth); });
  JudgedImage::Category result;
  result.objects = std::count_if(pair.truths.begin(), pair.truths.end(),
                                 [](const TrueBox* truth) { return !is_ignored(*truth); });
  Overlaps overlaps;
  for (const Detection* detection : pair.detections) {
    result.detections.push_back({detection->score, 0, 0});
    std::vector<double>& row = overlaps.emplace_back();
    for (const TrueBox* truth : pair.truths) row.push_back(overlap(detection->box, *truth));
  }
  for (std::size_t t = 0; t < kIous.size(); ++t) match(pair, overlaps, t, result.detections);
  return result;
}

// The precisions at all recalls for the IoU number t, summed. `judged`: by falling score.
double sum_of_precisions(const std::vector<JudgedImage::Judged>& judged, std::int64_t objects,
                         std::size_t t) {
  std::vector<double> recall;
  std::vector<double> precision;
  double right = 0;
  double wrong = 0;
  for (const JudgedImage::Judged& detection : judged) {
    const bool counts = (detection.ignored >> t & 1U) == 0;
    const bool is_right = (detection.right >> t & 1U) != 0;
    right += counts && is_right ? 1 : 0;
    wrong += counts && !is_right ? 1 : 0;
    recall.push_back(right / static_cast<double>(objects));
    precision.push_back(right / (wrong + right + std::numeric_limits<double>::epsilon()));
  }
  // The best precision at that recall or a higher one.
  for (std::size_t i = precision.size(); i-- > 1;) {
    precision[i - 1] = std::max(precision[i - 1], precision[i]);
  }
  double sum = 0;
  for (const double wanted : kRecalls) {
    const auto place = std::lower_bound(recall.begin(), recall.end(), wanted) - recall.begin();
    if (place == static_cast<std::ptrdiff_t>(recall.size())) break;
    sum += precision[static_cast<std::size_t>(place)];
  }
  return sum;
}

}  // namespace

JudgedImage judge(const std::vector<Detection>& detections, const std::vector<TrueBox>& truths) {
  std::map<std::int64_t, Pair> pairs;
  for (const Detection& detection : detections) {
    pairs[detection.category].detections.push_back(&detection);
  }
  for (const TrueBox& truth : truths) pairs[truth.category].truths.push_back(&truth);
  JudgedImage image;
  for (auto& [category, pair] : pairs) {
    image.categories.emplace(category, judge_category(std::move(pair)));
  }
  return image;
}

double mean_average_precision(const std::map<std::int64_t, JudgedImage>& images) {
  std::map<std::int64_t, JudgedImage::Category> all;
  for (const auto& [id, image] : images) {
    for (const auto& [number, category] : image.categories) {
      JudgedImage::Category& whole = all[number];
      whole.objects += category.objects;
      whole.detections.insert(whole.detections.end(), category.detections.begin(),
                              category.detections.end());
    }
  }
  double sum = 0;
  double count = 0;
  for (auto& [number, category] : all) {
    if (category.objects == 0) continue;
    std::stable_sort(category.detections.begin(), category.detections.end(),
                     [](const auto& left, const auto& right) { return left.score > right.score; });
    for (std::size_t t = 0; t < kIous.size(); ++t) {
      sum += sum_of_precisions(category.detections, category.objects, t);
      count += static_cast<double>(kRecalls.size());
    }
  }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / count;
}

}  // namespace pergola::host
