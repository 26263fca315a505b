// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/binary.h"

#include "host/model/losses/loss_inputs.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pergola::host {
namespace {

// factor * the mean of w * BCE(p, t). at::binary_cross_entropy checks that p is in [0, 1]: on a GPU
// one NaN ends the process. Here it makes the loss NaN, which the host reports; the values and
// gradients of probabilities are torch's.
class ProbabilityBce final : public torch::autograd::Function<ProbabilityBce> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& p,
                            const at::Tensor& t, const std::optional<at::Tensor>& w,
                            std::int64_t factor) {
    context->save_for_backward({p, t, w.value_or(at::Tensor())});
    const double share = static_cast<double>(factor) / static_cast<double>(p.numel());
    context->saved_data["share"] = share;
    // torch's bound on both logarithms, so that a certain answer that is wrong costs 100.
    constexpr double kLeast = -100;
    const at::Tensor log_p = at::log(p);
    at::Tensor values = at::neg(p).log1p_();
    at::_foreach_clamp_min_({log_p, values}, kLeast);
    values.lerp_(log_p, t);
    const at::Tensor sum = w.has_value() ? at::dot(values.flatten(), w->flatten()) : values.sum();
    return sum.mul(-share);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor of_sum = gradients[0] * context->saved_data["share"].toDouble();
    return {
        at::binary_cross_entropy_backward(of_sum, saved[0], saved[1], saved[2], at::Reduction::Sum),
        at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

ComponentSpec LogitBce::spec() {
  return {
      "binary cross entropy of logits against soft targets, averaged over all elements and "
      "multiplied with the number of classes"};
}

LossMap LogitBce::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("logit_bce", batch, output);
  const at::Tensor logits = in.logits();
  const at::Tensor targets = in.soft_targets(logits, LossInputs::Dimensions::kTwoOrMore);
  return {{"", ops::bce_with_logits(logits, targets) * targets.size(1)}};
}

ComponentSpec TripleLogitBce::spec() {
  return {"the sum of logit_bce over three branches: scores [batch, 3, classes]"};
}

LossMap TripleLogitBce::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("triple_logit_bce", batch, output);
  const at::Tensor scores = in.logits();
  constexpr std::int64_t kBranches = 3;
  const bool branched = scores.dim() == 3 && scores.size(1) == kBranches;
  const at::Tensor branch = branched ? scores.select(1, 0) : scores;
  if (branch.dim() != 2 || in.targets().sizes() != branch.sizes()) {
    throw in.misfit({{"scores", scores}, {"targets", in.targets()}},
                    "scores [batch, 3, classes] or [batch, classes], and targets "
                    "[batch, classes]");
  }
  const at::Tensor& targets = in.targets();
  const std::int64_t classes = targets.size(1);
  if (!branched) return {{"", ops::bce_with_logits(scores, targets) * classes}};
  // The sum of three means is the mean over all, times three.
  const at::Tensor mean = ops::bce_with_logits(scores, targets.unsqueeze(1).expand_as(scores));
  return {{"", mean * (kBranches * classes)}};
}

ComponentSpec Bce::spec() {
  return {
      "binary cross entropy of probabilities (not logits) against soft targets, averaged over all "
      "elements and multiplied with the number of classes"};
}

LossMap Bce::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("bce", batch, output);
  const at::Tensor scores = in.scores();
  const at::Tensor targets = in.soft_targets(scores, LossInputs::Dimensions::kTwoOrMore);
  return {
      {"", ProbabilityBce::apply(scores, targets, std::optional<at::Tensor>(), targets.size(1))}};
}

ComponentSpec AttentionSupervision::spec() {
  return {
      "binary cross entropy of the model's attentions against info.attention_supervision, weighted "
      "with the latter"};
}

LossMap AttentionSupervision::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("attention_supervision", batch, output);
  const at::Tensor attentions = in.field("attentions");
  const at::Tensor& wanted = batch.group("info").tensor("attention_supervision");
  if (attentions.sizes() != wanted.sizes() || wanted.dim() < 2) {
    throw in.misfit({{"attentions", attentions}, {"info.attention_supervision", wanted}},
                    "one shape [batch, regions, ...]");
  }
  const at::Tensor a = wanted.to(attentions.scalar_type());
  return {{"", ProbabilityBce::apply(attentions, a, std::optional<at::Tensor>(a), a.size(1))}};
}

ComponentSpec M4cDecodingBceWithMask::spec() {
  return {
      "binary cross entropy of logits [batch, steps, vocabulary], summed over the steps that "
      "train_loss_mask keeps and divided by their number"};
}

LossMap M4cDecodingBceWithMask::compute(const SampleList& batch, const ModelOutput& output) {
  const LossInputs in("m4c_decoding_bce_with_mask", batch, output);
  const at::Tensor scores = in.scores();
  const at::Tensor& mask = batch.tensor("train_loss_mask");
  if (scores.dim() != 3 || in.targets().sizes() != scores.sizes() ||
      mask.sizes() != scores.sizes().slice(0, 2)) {
    throw in.misfit(
        {{"scores", scores}, {"targets", in.targets()}, {"train_loss_mask", mask}},
        "scores and targets [batch, steps, vocabulary], and train_loss_mask [batch, steps]");
  }
  const at::Tensor m = mask.to(scores.scalar_type());
  const at::Tensor sum = at::binary_cross_entropy_with_logits(
      scores, in.targets().to(scores.scalar_type()), m.unsqueeze(-1), {}, at::Reduction::Sum);
  return {{"", sum / m.sum().clamp_min(1)}};
}

}  // namespace pergola::host
