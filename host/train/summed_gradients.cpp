// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/summed_gradients.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstddef>

namespace pergola::host {

SummedGradients::SummedGradients(const std::vector<at::Tensor>& parameters)
    : parameters_(parameters) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& parameter : parameters_) {
    sums_.push_back(parameter.requires_grad()
                        ? at::zeros_like(parameter, at::MemoryFormat::Preserve)
                        : at::Tensor());
  }
}

std::string SummedGradients::take_over() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    const at::Tensor gradient = parameters_[i].grad();
    if (!gradient.defined() || gradient.is_same(sums_[i])) continue;
    if (gradient.layout() != at::kStrided) return "a gradient is sparse";
    if (!sums_[i].defined() || gradient.scalar_type() != sums_[i].scalar_type()) {
      return "a gradient is of another type than its parameter";
    }
    sums_[i].copy_(gradient);
    parameters_[i].mutable_grad() = sums_[i];
  }
  return "";
}

bool SummedGradients::has_all() const {
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    const at::Tensor& gradient = parameters_[i].grad();
    if (gradient.defined() && !gradient.is_same(sums_[i])) return false;
  }
  return true;
}

void SummedGradients::join(const std::vector<bool>& chosen) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> first;
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (!sums_[i].defined() || (!chosen.empty() && !chosen[i]) || parameters_[i].grad().defined()) {
      continue;
    }
    parameters_[i].mutable_grad() = sums_[i];
    first.push_back(sums_[i]);
  }
  if (!first.empty()) at::_foreach_zero_(first);
}

void SummedGradients::leave(const std::vector<bool>& chosen) {
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (!chosen[i]) parameters_[i].mutable_grad().reset();
  }
}

std::vector<bool> SummedGradients::joined() const {
  std::vector<bool> joined;
  for (const at::Tensor& parameter : parameters_) joined.push_back(parameter.grad().defined());
  return joined;
}

std::vector<std::int64_t> SummedGradients::versions() const {
  std::vector<std::int64_t> versions;
  for (const at::Tensor& sum : sums_) versions.push_back(sum.defined() ? sum._version() : 0);
  return versions;
}

std::vector<bool> SummedGradients::written_since(const std::vector<std::int64_t>& versions) const {
  const std::vector<std::int64_t> now = this->versions();
  std::vector<bool> written;
  for (std::size_t i = 0; i < now.size(); ++i) written.push_back(now[i] != versions[i]);
  return written;
}

}  // namespace pergola::host
