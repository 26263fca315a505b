// SPDX-License-Identifier: BSD-3-Clause
// What a loss reads of a batch and a model's output: checked, and in single precision at least, as
// torch's autocast computes losses. Its messages name the loss, what was found and what fits.
// Nothing here waits for a GPU or writes into a tensor that it is given. Borrows batch and output.
#pragma once

#include "pergola/error.h"
#include "pergola/model_output.h"
#include "pergola/sample_list.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

class LossInputs {
 public:
  // `loss` is its key, for messages.
  LossInputs(const char* loss, const SampleList& batch, const ModelOutput& output)
      : loss_(loss), batch_(batch), output_(output) {}

  // The scores, or what the model returned under another name: half precision as single.
  // Throw Error{kData} when the model did not return it, or for no sample at all: there is no mean
  // then, and several operators end in errors of their own.
  [[nodiscard]] at::Tensor scores() const;
  // The scores in the type in which the model made them, for operators that sum in float32.
  [[nodiscard]] at::Tensor logits() const;
  [[nodiscard]] at::Tensor field(const char* name) const;

  // The batch's targets as they are. Throws Error{kData} when there are none.
  [[nodiscard]] const at::Tensor& targets() const { return batch_.tensor("targets"); }
  // The targets in the type of `scores`, or single where that is half. Throws Error{kData} unless
  // they have its shape, of at least two dimensions; a loss that needs just two says so in
  // `dimensions`.
  enum class Dimensions { kTwo, kTwoOrMore };
  [[nodiscard]] at::Tensor soft_targets(const at::Tensor& scores,
                                        Dimensions dimensions = Dimensions::kTwo) const;
  // The targets as int64 class numbers. Throws Error{kData} unless they are integers, one for each
  // place of `scores` [B, C, ...]: [B, ...].
  [[nodiscard]] at::Tensor class_numbers(const at::Tensor& scores) const;

  // What call() returns: the loss of class numbers. One beyond the C classes of `scores` is an
  // Error{kData} on the CPU; a GPU stops the process, since asking it would be to wait for it.
  template <class Call>
  [[nodiscard]] at::Tensor of_class_numbers(const at::Tensor& scores, const Call& call) const {
    try {
      return call();
    } catch (const c10::IndexError& error) {
      throw class_number_error(scores, error);
    }
  }

  // An Error{kData}: "loss x: found <name> <shape> <type> and ...; expected <expected>".
  using Named = std::pair<const char*, at::Tensor>;
  [[nodiscard]] Error misfit(const std::vector<Named>& found, const std::string& expected) const;

 private:
  [[nodiscard]] at::Tensor checked(const char* name, const at::Tensor& tensor) const;
  [[nodiscard]] Error class_number_error(const at::Tensor& scores,
                                         const c10::IndexError& error) const;

  const char* loss_;
  const SampleList& batch_;
  const ModelOutput& output_;
};

// `tensor` itself where it is in single or double precision, else as single.
[[nodiscard]] at::Tensor at_least_single(const at::Tensor& tensor);

// The products of all rows of `a` with all of `b`, in their own precision also where autocast would
// take a lower one: what is compared with them is finer than that. [N, D], [M, D] → [N, M].
[[nodiscard]] at::Tensor row_products(const at::Tensor& a, const at::Tensor& b);

}  // namespace pergola::host
