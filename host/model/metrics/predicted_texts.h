// SPDX-License-Identifier: BSD-3-Clause
// The texts that a model predicts, beside the true ones of the batch: what the metrics of answers
// and captions read. The numbers of the highest scores stay on the device until visit() asks for
// words, so that add() does not wait for it. Not thread-safe.
//
// From the model `scores`, and from the batch (string lists, one list a sample)
//   answers         the true texts, at least one
//   context_tokens  the words in the picture, of the sample (of models that copy): word number
//                   `words + i` is the i-th of them; beyond the last one there is no word
// Legend: B = batch, T = places of a sequence, C = words and, after them, context tokens.
#pragma once

#include "pergola/component.h"
#include "pergola/model_output.h"
#include "pergola/sample_list.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace pergola::host {

class PredictedTexts {
 public:
  enum class Form {
    kAnswer,   // scores [B, C], or [B, branches, C] of which the first branch counts: one number,
               // and never 0 (<unk>)
    kWords,    // scores [B, C] or [B, T, C]: numbers up to that of </s>
    kCaption,  // the same without context tokens, <s> and <pad>
  };
  // The param `answers`, the words by their numbers.
  [[nodiscard]] static ParamSpec answers_spec();

  // `metric` is for messages. Throws Error{kConfig} when `answers` is missing or empty.
  PredictedTexts(const char* metric, Form form, const Config& params);

  // Takes in one batch. A score that is not a number, or all of them -inf, chooses no word. Throws
  // Error{kData} when shapes do not fit, a sample has no answer, or there are more scores than
  // words and no context tokens.
  void add(const SampleList& batch, const ModelOutput& output);
  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }
  // Each sample's predicted words and true texts, in the order of add(). Waits for the device.
  using Visitor = std::function<void(Strings words, const Strings& answers)>;
  void visit(const Visitor& visitor) const;
  void clear();

  [[nodiscard]] const Strings& vocabulary() const noexcept { return vocabulary_; }

 private:
  struct Batch {
    at::Tensor ids;  // int64 [B, T]; -1: no word
    std::vector<Strings> answers;
    std::vector<Strings> context_tokens;  // empty when the batch has none
  };
  [[nodiscard]] at::Tensor scores_of(const ModelOutput& output, std::int64_t samples) const;
  [[nodiscard]] Strings decode(const std::int64_t* ids, std::int64_t count,
                               const Strings& context) const;

  const char* metric_;
  Form form_;
  Strings vocabulary_;
  std::int64_t end_;  // the number of </s>; -1 when there is none
  std::vector<Batch> batches_;
  std::int64_t rows_ = 0;
};

}  // namespace pergola::host
