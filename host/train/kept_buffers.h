// SPDX-License-Identifier: BSD-3-Clause
// What was in a model's buffers before an update, such as the statistics of batch norm, which move
// in the forward pass, before anybody knows that the update is to be skipped. Shares the buffers;
// where there are none, nothing here costs anything. Training thread.
#pragma once

#include "pergola/base_model.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace pergola::host {

class KeptBuffers {
 public:
  // Of those that the model has now.
  explicit KeptBuffers(const BaseModel& model);

  // Copies what is in them; one copy for all on a GPU.
  void keep();
  // Gives it back to them.  REQUIRES: keep() was called.
  void restore();
  // The same where `flag`, a number on their device, is not 0; does not wait.
  void restore_where(const at::Tensor& flag);

 private:
  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> kept_;  // one for each
};

}  // namespace pergola::host
