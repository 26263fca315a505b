// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/loss_inputs.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace pergola::host {

at::Tensor at_least_single(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  return type == at::kFloat || type == at::kDouble ? tensor : tensor.to(at::kFloat);
}

at::Tensor row_products(const at::Tensor& a, const at::Tensor& b) {
  const c10::impl::ExcludeDispatchKeyGuard without_autocast(c10::autocast_dispatch_keyset);
  return a.matmul(b.t());
}

at::Tensor LossInputs::scores() const { return at_least_single(logits()); }

at::Tensor LossInputs::logits() const {
  if (output_.scores.defined()) return checked("scores", output_.scores);
  throw Error(ErrorKind::kData, "loss ", loss_,
              ": the model returned no scores; set ModelOutput::scores in forward()");
}

at::Tensor LossInputs::field(const char* name) const {
  const auto found = output_.fields.find(name);
  if (found != output_.fields.end() && found->second.defined()) {
    return at_least_single(checked(name, found->second));
  }
  std::string others;
  for (const auto& [other, tensor] : output_.fields) {
    others += (others.empty() ? "'" : ", '") + other + "'";
  }
  throw Error(ErrorKind::kData, "loss ", loss_, ": the model returned no '", name,
              "'; found: ", others.empty() ? "no fields" : others, "; set ModelOutput::fields[\"",
              name, "\"] in forward()");
}

at::Tensor LossInputs::checked(const char* name, const at::Tensor& tensor) const {
  if (tensor.dim() == 0 || tensor.size(0) > 0) return tensor;
  throw misfit({{concat("the model's ", name).c_str(), tensor}}, "at least one sample");
}

at::Tensor LossInputs::soft_targets(const at::Tensor& scores, Dimensions dimensions) const {
  const bool may_be_more = dimensions == Dimensions::kTwoOrMore;
  if (scores.sizes() == targets().sizes() && scores.dim() >= 2 &&
      (may_be_more || scores.dim() == 2)) {
    return targets().to(scores.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  }
  throw misfit({{"scores", scores}, {"targets", targets()}},
               may_be_more ? "one shape [batch, classes, ...]; for class numbers use cross_entropy"
                           : "one shape [batch, classes]; for class numbers use cross_entropy");
}

at::Tensor LossInputs::class_numbers(const at::Tensor& scores) const {
  std::vector<std::int64_t> places = scores.sizes().vec();
  if (places.size() >= 2) {
    places.erase(places.begin() + 1);
    const at::Tensor& found = targets();
    const bool integers = at::isIntegralType(found.scalar_type(), /*includeBool=*/false);
    if (integers && found.sizes() == places) return found.to(at::kLong);
  }
  const bool soft = targets().is_floating_point() && targets().sizes() == scores.sizes();
  throw misfit({{"scores", scores}, {"targets", targets()}},
               concat("scores [batch, classes, ...] and class numbers (integers) [batch, ...]",
                      soft ? "; for soft targets use soft_label_cross_entropy or logit_bce" : ""));
}

Error LossInputs::misfit(const std::vector<Named>& found, const std::string& expected) const {
  std::string text;
  for (const auto& [name, tensor] : found) {
    text += concat(text.empty() ? "" : " and ", name, " ", tensor.sizes(), " ",
                   c10::toString(tensor.scalar_type()));
  }
  return Error(ErrorKind::kData, "loss ", loss_, ": found ", text, "; expected ", expected);
}

Error LossInputs::class_number_error(const at::Tensor& scores, const c10::IndexError& error) const {
  return Error(ErrorKind::kData, "loss ", loss_, ": ", error.what_without_backtrace(),
               " The scores are of ", scores.size(1), " classes, numbered from 0 to ",
               scores.size(1) - 1, "; compare the data set's answers with the model's");
}

}  // namespace pergola::host
