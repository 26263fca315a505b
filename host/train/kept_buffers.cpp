// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/kept_buffers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstddef>

namespace pergola::host {

KeptBuffers::KeptBuffers(const BaseModel& model) {
  for (const at::Tensor& buffer : model.buffers()) {
    if (buffer.defined()) buffers_.push_back(buffer);
  }
}

void KeptBuffers::keep() {
  const at::NoGradGuard no_grad;
  bool fits = kept_.size() == buffers_.size();
  for (std::size_t i = 0; fits && i < kept_.size(); ++i) fits = kept_[i].is_same_size(buffers_[i]);
  if (fits && !kept_.empty()) {
    at::_foreach_copy_(kept_, buffers_);
    return;
  }
  kept_.clear();
  for (const at::Tensor& buffer : buffers_) kept_.push_back(buffer.clone());
}

void KeptBuffers::restore() {
  if (buffers_.empty()) return;
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    // A model may let one grow.
    if (!buffers_[i].is_same_size(kept_[i])) buffers_[i].resize_(kept_[i].sizes());
  }
  at::_foreach_copy_(buffers_, kept_);
}

void KeptBuffers::restore_where(const at::Tensor& flag) {
  if (buffers_.empty()) return;
  const at::NoGradGuard no_grad;
  const at::Tensor is_set = flag.ne(0);
  std::vector<at::Tensor> chosen;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    chosen.push_back(at::where(is_set, kept_[i], buffers_[i]));
  }
  at::_foreach_copy_(buffers_, chosen);
}

}  // namespace pergola::host
