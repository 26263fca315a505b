// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/column_sum.h"
#include "host/device/cuda/kernels/layer_norm.cuh"
#include "host/device/cuda/kernels/types.cuh"

#include <algorithm>

namespace pergola::cuda {
namespace {

template <class T>
struct Gradients {
  T* sum;
  T* x;                 // or null
  float* weight_parts;  // [blocks, D]
  float* bias_parts;    // [blocks, D]
};

constexpr int kRows = 2;  // of a block at once, so that more reads are on their way

// With x^ = (sum - mean) rstd and g = dy weight: d sum = rstd (g - mean(g) - x^ mean(g x^)). A
// thread has the same pack of every row, so that it adds up its columns alone; kRowWarps warps have
// a row.
template <class T, int kRowWarps>
__global__ void __launch_bounds__(32 * kRowWarps, 24 / kRowWarps)
    backward(LayerNormShape shape, const T* y_gradient, const float* weight, Saved<T> saved,
             Dropout dropout, bool drops_after, Gradients<T> into) {
  __shared__ float2 totals[2][kRows][kRowWarps];  // of g, and of g x^; in turns
  const Philox philox(dropout.random);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int column = static_cast<int>(threadIdx.x) * kPack;
  const bool present = column < shape.width;
  const float inverse_width = 1 / static_cast<float>(shape.width);
  float w[kPack] = {};
  if (present) load(weight + column, w);
  float weight_sum[kPack] = {};
  float bias_sum[kPack] = {};
  int turn = 0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kRows;
  for (std::int64_t first = blockIdx.x * kRows; first < shape.rows; first += step) {
    float dy[kRows][kPack] = {};
    float normal[kRows][kPack] = {};
    float rstd[kRows] = {};
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (!present || first + r >= shape.rows) continue;
      const std::int64_t place = (first + r) * shape.width + column;
      load(y_gradient + place, dy[r]);
      load(saved.sum + place, normal[r]);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first + r >= shape.rows) continue;
      const float mean = saved.mean[first + r];
      rstd[r] = saved.rstd[first + r];
      if (present && drops_after && dropout.threshold != 0) {
        drop(dropout, philox, (first + r) * shape.width + column, dy[r]);
      }
      float2 total = {0, 0};
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        normal[r][i] = present ? (normal[r][i] - mean) * rstd[r] : 0.0F;
        weight_sum[i] += dy[r][i] * normal[r][i];
        bias_sum[i] += dy[r][i];
        dy[r][i] *= w[i];
        total.x += dy[r][i];
        total.y += dy[r][i] * normal[r][i];
      }
      total = {sum_of_warp(total.x), sum_of_warp(total.y)};
      if (lane == 0) totals[turn][r][warp] = total;
    }
    if (kRowWarps > 1) {
      __syncthreads();
    } else {
      __syncwarp();
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (!present || first + r >= shape.rows) continue;
      float g_mean = 0;
      float product_mean = 0;
#pragma unroll
      for (int other = 0; other < kRowWarps; ++other) {
        g_mean += totals[turn][r][other].x * inverse_width;
        product_mean += totals[turn][r][other].y * inverse_width;
      }
      const std::int64_t place = (first + r) * shape.width + column;
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        dy[r][i] = rstd[r] * (dy[r][i] - g_mean - normal[r][i] * product_mean);
      }
      store(into.sum + place, dy[r]);
      if (into.x == nullptr) continue;
      drop(dropout, philox, place, dy[r]);
      store(into.x + place, dy[r]);
    }
    turn ^= 1;  // the next rows' totals do not overwrite what a slower warp still reads
  }
  if (!present) return;
  const std::int64_t place = blockIdx.x * shape.width + column;
  store(into.weight_parts + place, weight_sum);
  store(into.bias_parts + place, bias_sum);
}

// Any width and alignment; a block has its rows one by one, so that it adds up columns in order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    backward_any(LayerNormShape shape, const T* y_gradient, const float* weight, Saved<T> saved,
                 Dropout dropout, bool drops_after, Gradients<T> into) {
  __shared__ float totals[2][kWarps];
  const Philox philox(dropout.random);
  const std::int64_t width = shape.width;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  float* const weight_parts = into.weight_parts + blockIdx.x * width;
  float* const bias_parts = into.bias_parts + blockIdx.x * width;
  for (std::int64_t column = threadIdx.x; column < width; column += kThreads) {
    weight_parts[column] = 0;
    bias_parts[column] = 0;
  }
  for (std::int64_t row = blockIdx.x; row < shape.rows; row += gridDim.x) {
    const float mean = saved.mean[row];
    const float rstd = saved.rstd[row];
    const auto gradient_at = [&](std::int64_t place) {
      const float g = to_float(y_gradient[place]);
      return drops_after && dropout.threshold != 0 ? dropped(dropout, philox, place, g) : g;
    };
    float g_total = 0;
    float product_total = 0;
    for (std::int64_t column = threadIdx.x; column < width; column += kThreads) {
      const std::int64_t place = row * width + column;
      const float dy = gradient_at(place);
      const float normal = (to_float(saved.sum[place]) - mean) * rstd;
      weight_parts[column] += dy * normal;
      bias_parts[column] += dy;
      g_total += dy * weight[column];
      product_total += dy * weight[column] * normal;
    }
    g_total = sum_of_warp(g_total);
    product_total = sum_of_warp(product_total);
    __syncthreads();  // of the row before
    if (lane == 0) {
      totals[0][warp] = g_total;
      totals[1][warp] = product_total;
    }
    __syncthreads();
    float g_mean = 0;
    float product_mean = 0;
    for (int w = 0; w < kWarps; ++w) {
      g_mean += totals[0][w] / static_cast<float>(width);
      product_mean += totals[1][w] / static_cast<float>(width);
    }
    for (std::int64_t column = threadIdx.x; column < width; column += kThreads) {
      const std::int64_t place = row * width + column;
      const float normal = (to_float(saved.sum[place]) - mean) * rstd;
      const float g = rstd * (gradient_at(place) * weight[column] - g_mean - normal * product_mean);
      into.sum[place] = from_float<T>(g);
      if (into.x != nullptr) into.x[place] = from_float<T>(dropped(dropout, philox, place, g));
    }
  }
}

template <class T>
void launch_backward(const LayerNormShape& shape, const T* y_gradient, const float* weight,
                     const Saved<T>& saved, const Dropout& dropout, bool drops_after,
                     const Gradients<T>& into, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(layer_norm_blocks(shape.rows));
  const bool in_packs = fits(shape) && aligned(y_gradient) && aligned(weight) &&
                        aligned(saved.sum) && aligned(into.sum) && aligned(into.x);
  if (!in_packs) {
    backward_any<T><<<blocks, kThreads, 0, stream>>>(shape, y_gradient, weight, saved, dropout,
                                                     drops_after, into);
    return;
  }
  const std::int64_t warps = (shape.width + 32 * kPack - 1) / (32 * kPack);
  const auto run = warps <= 1   ? backward<T, 1>
                   : warps == 2 ? backward<T, 2>
                   : warps == 3 ? backward<T, 3>
                                : backward<T, 4>;
  const auto threads = static_cast<unsigned>(32 * warps);
  run<<<blocks, threads, 0, stream>>>(shape, y_gradient, weight, saved, dropout, drops_after, into);
}

}  // namespace

int layer_norm_blocks(std::int64_t rows) {
  return static_cast<int>(std::min<std::int64_t>((rows + kRows - 1) / kRows, kMostBlocks));
}

void layer_norm_backward(Type type, const LayerNormShape& shape, const void* y_gradient,
                         const float* weight, const LayerNormSaved& saved, const Dropout& dropout,
                         DropoutPlace place, const LayerNormGradients& into, cudaStream_t stream) {
  const int blocks = layer_norm_blocks(shape.rows);
  float* const bias_parts = into.workspace + static_cast<std::int64_t>(blocks) * shape.width;
  with_type_of(type, [&]<class T>(T*) {
    launch_backward<T>(
        shape, static_cast<const T*>(y_gradient), weight, typed<T>(saved), dropout,
        place == DropoutPlace::kAfter,
        {static_cast<T*>(into.sum), static_cast<T*>(into.x), into.workspace, bias_parts}, stream);
  });
  ColumnSums sums;
  sums.count = 2;
  sums.into[0] = into.weight;
  sums.into[1] = into.bias;
  add_column_parts(into.workspace, blocks, shape.width, sums, stream);
}

}  // namespace pergola::cuda
