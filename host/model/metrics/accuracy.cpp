// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/accuracy.h"

#include "host/model/metrics/class_scores.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <utility>

namespace pergola::host {

ComponentSpec Accuracy::spec() {
  return {"share of samples whose target class is among the topk highest scores",
          {{.name = "score_key", .fallback = "scores", .meaning = "the model's output to read"},
           {.name = "target_key", .fallback = "targets", .meaning = "the batch's field to read"},
           {.name = "topk",
            .fallback = 1,
            .meaning = "how many of the highest scores count as an answer",
            .low = 1}}};
}

Accuracy::Accuracy(const Config& params)
    : Accuracy("accuracy", params.get<std::string>("score_key"),
               params.get<std::string>("target_key"), params.get<std::int64_t>("topk")) {}

Accuracy::Accuracy(const char* name, std::string score_key, std::string target_key,
                   std::int64_t topk)
    : name_(name),
      score_key_(std::move(score_key)),
      target_key_(std::move(target_key)),
      topk_(topk) {}

at::Tensor Accuracy::values(const SampleList& batch, const ModelOutput& output) const {
  const at::Tensor& scores = output_tensor(name_, output, score_key_);
  const at::Tensor& targets = batch.tensor(target_key_);
  if (topk_ == 1 && scores.dim() == 1 && targets.sizes() == scores.sizes()) {
    return scores.eq(targets);  // the model has chosen already
  }
  const ClassScores input = class_scores(name_, batch, output, 1, score_key_, target_key_);
  const at::Tensor rank_B = rank_of_class(input.scores, target_classes(input));
  return rank_B.ge(1) & rank_B.le(topk_);
}

ComponentSpec TopkAccuracy::spec() {
  return {"share of samples whose target class is among the k highest scores",
          {{.name = "score_key", .fallback = "scores", .meaning = "the model's output to read"},
           {.name = "k",
            .fallback = {},
            .meaning = "how many of the highest scores count as an answer",
            .low = 1,
            .type = Value::Type::kInteger,
            .need = ParamSpec::Need::kRequired}}};
}

TopkAccuracy::TopkAccuracy(const Config& params)
    : Accuracy("topk_accuracy", params.get<std::string>("score_key"), "targets",
               params.get<std::int64_t>("k")) {}

ComponentSpec VqaAccuracy::spec() {
  return {"mean soft score of the highest-scored answer, answer 0 (<unk>) left out"};
}

VqaAccuracy::VqaAccuracy(const Config& /*params*/) {}

at::Tensor VqaAccuracy::values(const SampleList& batch, const ModelOutput& output) const {
  const at::Tensor& given = output_tensor("vqa_accuracy", output, "scores");
  const at::Tensor& targets_BC = batch.tensor("targets");
  const bool branches = given.dim() == 3 && given.size(1) > 0;
  const at::Tensor scores = branches ? given.select(1, 0) : given;
  if (scores.dim() != 2 || scores.size(1) < 2 || targets_BC.sizes() != scores.sizes()) {
    throw Error(ErrorKind::kData, "vqa_accuracy cannot compare scores ", given.sizes(),
                " with targets ", targets_BC.sizes(),
                "; expected scores [batch, answers] or [batch, branches, answers] with <unk> as "
                "answer 0, and soft targets [batch, answers]; check the answer processor");
  }
  // The highest answer but <unk>: what softmax, zeroing and renormalising choose too.
  const at::Tensor scores_BC = widened(scores);
  const at::Tensor known_BC = scores_BC.slice(1, 1);
  const at::Tensor answer_B1 = known_BC.argmax(1, /*keepdim=*/true) + 1;
  const at::Tensor value_B = targets_BC.gather(1, answer_B1).squeeze(1);
  const at::Tensor valid_B = chooses(scores_BC) & chooses(known_BC);
  return value_B.masked_fill(~valid_B, 0);
}

}  // namespace pergola::host
