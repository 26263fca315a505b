// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/log_softmax.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pergola::host {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// The gradient of the scores that belongs to the gradient of their log_softmax. The forward's
// `log_q` does not know where it came from; a second derivative has to.
at::Tensor to_scores(const at::Tensor& gradient, const at::Tensor& scores,
                     const at::Tensor& log_q) {
  const bool again = at::GradMode::is_enabled();
  return at::_log_softmax_backward_data(gradient, again ? at::log_softmax(scores, 1) : log_q, 1,
                                        scores.scalar_type());
}

class LogSoftmaxSum final : public Function<LogSoftmaxSum> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& scores,
                            const at::Tensor& weights, const std::optional<at::Tensor>& offset,
                            const at::Tensor& divisor) {
    const at::Tensor log_q = at::log_softmax(scores, 1);
    context->save_for_backward({scores, weights, divisor, log_q});
    const at::Tensor values =
        offset ? at::addcmul(*offset, weights, log_q, -1) : at::mul(weights, log_q);
    const at::Tensor signed_divisor = offset ? at::neg(divisor) : divisor;
    if (divisor.dim() == 0) return values.sum().div_(signed_divisor);
    return values.sum(1).div_(signed_divisor).sum();
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor factor = gradients[0] / saved[2];
    const at::Tensor of_log_q = saved[1] * (factor.dim() == 0 ? factor : factor.unsqueeze(1));
    return {to_scores(of_log_q, saved[0], saved[3]), {}, {}, {}};
  }
};

}  // namespace

at::Tensor log_softmax_sum(const at::Tensor& scores, const at::Tensor& weights,
                           const std::optional<at::Tensor>& offset, const at::Tensor& divisor) {
  return LogSoftmaxSum::apply(scores, weights, offset, divisor);
}

}  // namespace pergola::host
