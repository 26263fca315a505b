// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/answers.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

namespace pergola::host {

Answers::Answers(const Processor& processor, bool single_class) : single_class_(single_class) {
  const Value facts = processor.facts();
  const Value* const words = facts.find("answers");
  if (words == nullptr) return;
  for (const Value& word : words->as_array()) words_.push_back(word.as_string());
}

at::Tensor Answers::probabilities(const at::Tensor& scores_BA) const {
  const at::Tensor exact_BA = scores_BA.to(at::kDouble);
  return single_class_ ? exact_BA.softmax(/*dim=*/1) : exact_BA.sigmoid();
}

std::vector<Value> Answers::rows(const Report& report) const {
  if (words_.empty()) return {};
  const at::Tensor& scores_BA = report.output.scores;
  if (!scores_BA.defined()) {
    throw Error(ErrorKind::kConfig, "predictions are made from scores, and the model returned none",
                ", only losses of its own; return scores of [batch, ", words_.size(),
                "] from the model, or set evaluation.predict = false");
  }
  if (scores_BA.dim() != 2 || scores_BA.size(1) != static_cast<std::int64_t>(words_.size())) {
    throw Error(ErrorKind::kConfig, "the model's scores are ", scores_BA.sizes(),
                ", but there are ", words_.size(),
                " answers; leave num_final_outputs to the data set, or set evaluation.predict = "
                "false");
  }
  const at::Tensor probability_BA = probabilities(scores_BA);
  const at::Tensor best_B = scores_BA.argmax(/*dim=*/1);
  std::vector<Value> rows;
  for (std::int64_t i = 0; i < best_B.size(0); ++i) {
    const auto best = best_B[i].item<std::int64_t>();
    rows.emplace_back(Value::Table{{"answer", words_[static_cast<std::size_t>(best)]},
                                   {"probability", probability_BA[i][best].item<double>()}});
  }
  return rows;
}

void add_targets(const SampleList& batch, std::vector<Value>& rows) {
  if (!batch.has("answers")) return;
  const std::vector<Strings>* answers_B = nullptr;
  try {
    answers_B = &batch.string_lists("answers");
  } catch (const Error&) {
    return;
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Value::Array distinct;
    for (const std::string& answer : (*answers_B)[i]) {
      const bool is_new = std::ranges::find(distinct, Value(answer)) == distinct.end();
      if (is_new && !answer.empty()) distinct.emplace_back(answer);
    }
    if (distinct.empty()) continue;
    rows[i]["target"] = distinct.size() == 1 ? distinct.front() : Value(std::move(distinct));
  }
}

}  // namespace pergola::host
