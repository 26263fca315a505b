// SPDX-License-Identifier: BSD-3-Clause
// Random tensors that many samples share, so that a batch is copied together from as many places in
// memory as with real data, and the data still fit. Constant; thread-safe.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <vector>

namespace pergola::bench {

class FeaturePool {
 public:
  // `count` tensors of this shape and type, of standard normal numbers.
  FeaturePool(std::int64_t count, std::vector<std::int64_t> shape, std::uint64_t seed,
              at::ScalarType type = at::kFloat) {
    shape.insert(shape.begin(), count);
    all_ = at::randn(shape, at::detail::createCPUGenerator(seed)).to(type);
  }

  // One of them, without a copy.
  [[nodiscard]] at::Tensor at(std::uint64_t number) const {
    return all_.select(/*dim=*/0, static_cast<std::int64_t>(number % count()));
  }

 private:
  [[nodiscard]] std::uint64_t count() const { return static_cast<std::uint64_t>(all_.size(0)); }

  at::Tensor all_;
};

}  // namespace pergola::bench
