// SPDX-License-Identifier: BSD-3-Clause
// The answers, or classes, of a data set, and what a model's scores say of them. Constant;
// thread-safe.  Legend: B = batch, A = answers.
#pragma once

#include "pergola/processor.h"
#include "pergola/report.h"
#include "pergola/sample_list.h"
#include "pergola/value.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace pergola::host {

class Answers {
 public:
  // None that are known by their words.
  Answers() = default;
  // Those that the fitted processor tells as the fact `answers`, perhaps none. `single_class`: are
  // targets class numbers, of which one holds? Otherwise each answer holds or not.
  Answers(const Processor& processor, bool single_class);

  [[nodiscard]] bool single_class() const noexcept { return single_class_; }
  // [B, A] of scores [B, A], in double precision.
  [[nodiscard]] at::Tensor probabilities(const at::Tensor& scores_BA) const;
  // {answer, probability} of each sample; {} when no words are known. Throws Error{kConfig} when
  // the scores are not of these answers.
  [[nodiscard]] std::vector<Value> rows(const Report& report) const;

 private:
  Strings words_;
  bool single_class_ = false;
};

// Adds `target` to each row of a batch: its answer, or an array of those that several people gave.
// Nothing where the batch has no `answers`, or a processor has made something else of them.
void add_targets(const SampleList& batch, std::vector<Value>& rows);

}  // namespace pergola::host
