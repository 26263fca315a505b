// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/tensor_histogram.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::int64_t kPiece = std::int64_t{1} << 20;

// On the CPU, since counting on a GPU is not deterministic, and LibTorch refuses it where a run is
// to be; in float64, since float32 cannot count beyond 2^24.
template <class Visit>
void for_each_piece(const at::Tensor& tensor, Visit visit) {
  for (const at::Tensor& piece : tensor.detach().reshape(-1).split(kPiece)) {
    const at::Tensor numbers = piece.to(at::kCPU, at::kDouble);
    const at::Tensor finite = numbers.isfinite();
    visit(finite.all().item<bool>() ? numbers : numbers.masked_select(finite));
  }
}

void find_range(const at::Tensor& tensor, Histogram& histogram) {
  histogram.min = std::numeric_limits<double>::infinity();
  histogram.max = -histogram.min;
  for_each_piece(tensor, [&](const at::Tensor& numbers) {
    if (numbers.numel() == 0) return;
    const auto [least, greatest] = numbers.aminmax();
    histogram.min = std::min(histogram.min, least.item<double>());
    histogram.max = std::max(histogram.max, greatest.item<double>());
    histogram.num += static_cast<double>(numbers.numel());
    histogram.sum += numbers.sum().item<double>();
    histogram.sum_squares += numbers.square().sum().item<double>();
  });
}

void count(const at::Tensor& tensor, Histogram& histogram) {
  at::Tensor counts = at::zeros({kHistogramBuckets}, at::kDouble);
  for_each_piece(tensor, [&](const at::Tensor& numbers) {
    counts += numbers.histc(kHistogramBuckets, histogram.min, histogram.max);
  });
  const double* const first = counts.const_data_ptr<double>();
  histogram.counts.assign(first, first + kHistogramBuckets);
}

}  // namespace

std::optional<Histogram> histogram_of(const at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  const at::Tensor dense = tensor.layout() == at::kStrided ? tensor : tensor.to_dense();
  Histogram histogram;
  find_range(dense, histogram);
  const double range = histogram.max - histogram.min;
  if (histogram.num == 0 || !std::isfinite(range)) return std::nullopt;
  if (range == 0) {
    histogram.limits = {histogram.max};
    histogram.counts = {histogram.num};
    return histogram;
  }
  count(dense, histogram);
  for (std::int64_t i = 1; i < kHistogramBuckets; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(kHistogramBuckets);
    histogram.limits.push_back(histogram.min + range * part);
  }
  histogram.limits.push_back(histogram.max);
  return histogram;
}

}  // namespace pergola::host
