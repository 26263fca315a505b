// SPDX-License-Identifier: BSD-3-Clause
// What the metrics of classes have in common: they read scores [B, C] and targets [B], [B, 1] or
// [B, C], check their shapes, and turn them into class numbers, labels and ranks. Nothing here
// waits for the device, and nothing is written into. No state; thread-safe.
// Legend: B = batch, C = classes.
#pragma once

#include "pergola/model_output.h"
#include "pergola/sample_list.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace pergola::host {

struct ClassScores {
  at::Tensor scores;   // [B, C], float32 or float64: half precision and integers are widened
  at::Tensor targets;  // [B], [B, 1] or [B, C]

  [[nodiscard]] std::int64_t batch_size() const { return scores.size(0); }
  [[nodiscard]] std::int64_t classes() const { return scores.size(1); }
};

// The tensor that `metric` reads from the model's output: `scores`, or one of its fields.
// Throws Error{kData} with all that there is when it is missing.
[[nodiscard]] const at::Tensor& output_tensor(const char* metric, const ModelOutput& output,
                                              const std::string& key);

// `scores` as float32 or float64, exactly.
[[nodiscard]] at::Tensor widened(const at::Tensor& scores);

// Both, checked. Throws Error{kData} when a shape does not fit, or there are fewer classes.
[[nodiscard]] ClassScores class_scores(const char* metric, const SampleList& batch,
                                       const ModelOutput& output, std::int64_t min_classes = 1,
                                       const std::string& score_key = "scores",
                                       const std::string& target_key = "targets");

// A metric of class 1 alone is one of two classes. Throws Error{kData}, which ends in `way_out`,
// when there are more.
void require_two_classes(
    const std::string& metric, const ClassScores& input,
    const std::string& way_out = "choose a metric whose name begins with macro_ or micro_");

// The target's class of each sample, int64 [B]: the number itself, or the first of the highest of
// C. A number that is no class (-1, -100) stays as it is.
[[nodiscard]] at::Tensor target_classes(const ClassScores& input);

// The labels of each sample, bool [B, C]: those whose target is above 0.5, or its one class. A
// number that is no class has none.
[[nodiscard]] at::Tensor target_labels(const ClassScores& input);

// Which samples choose a class at all, bool [B]: not those with a score that is not a number, and
// not those whose scores are all -inf (all classes masked).
[[nodiscard]] at::Tensor chooses(const at::Tensor& scores_BC);

// The place of a class in the order of the scores, int64 [B]: 1 for the highest, C for the lowest;
// of equal scores the lower class is ahead, as in argmax. 0: no place, since the sample chooses
// nothing, or the number is no class.
[[nodiscard]] at::Tensor rank_of_class(const at::Tensor& scores_BC, const at::Tensor& classes_B);

}  // namespace pergola::host
