// SPDX-License-Identifier: BSD-3-Clause
#undef NDEBUG  // a row that does not exist ends in an assertion, as in LibTorch's own kernels
#include "host/device/cuda/kernels/layer_norm.cuh"
#include "host/device/cuda/kernels/types.cuh"

#include <algorithm>
#include <cassert>

namespace pergola::cuda {
namespace {

// Where a forward kernel gets its sums from: residual + dropout(x).
template <class T>
struct Residual {
  const T* x;
  const T* residual;  // or null

  __device__ void pack(std::int64_t row, std::int64_t column, std::int64_t width,
                       const Dropout& dropout, const Philox& philox, float (&sum)[kPack]) const {
    const std::int64_t place = row * width + column;
    load(x + place, sum);
    if (dropout.threshold != 0) drop(dropout, philox, place, sum);
    if (residual == nullptr) return;
    float more[kPack];
    load(residual + place, more);
#pragma unroll
    for (int i = 0; i < kPack; ++i) sum[i] += more[i];
  }

  __device__ float one(std::int64_t row, std::int64_t column, std::int64_t width,
                       const Dropout& dropout, const Philox& philox) const {
    const std::int64_t place = row * width + column;
    float sum = to_float(x[place]);
    if (dropout.threshold != 0) sum = dropped(dropout, philox, place, sum);
    return residual == nullptr ? sum : sum + to_float(residual[place]);
  }
  static constexpr bool kDropsAfter = false;
};

// Rows of tables; dropout comes after the LayerNorm.
template <class T>
struct TableRows {
  Tables tables;

  __device__ void pack(std::int64_t row, std::int64_t column, std::int64_t width,
                       const Dropout& /*dropout*/, const Philox& /*philox*/,
                       float (&sum)[kPack]) const {
#pragma unroll
    for (int i = 0; i < kPack; ++i) sum[i] = 0;
    for (int k = 0; k < tables.count; ++k) {
      const std::int64_t from = tables.rows[k][row];
      if (from < 0) continue;
      assert(from < tables.heights[k]);
      const std::int64_t place = from * width + column;
      float more[kPack];
      if (tables.narrow[k]) {
        load(static_cast<const T*>(tables.table[k]) + place, more);
      } else {
        load(static_cast<const float*>(tables.table[k]) + place, more);
      }
#pragma unroll
      for (int i = 0; i < kPack; ++i) sum[i] += more[i];
    }
  }

  __device__ float one(std::int64_t row, std::int64_t column, std::int64_t width,
                       const Dropout& /*dropout*/, const Philox& /*philox*/) const {
    float sum = 0;
    for (int k = 0; k < tables.count; ++k) {
      const std::int64_t from = tables.rows[k][row];
      if (from < 0) continue;
      assert(from < tables.heights[k]);
      const std::int64_t place = from * width + column;
      sum += tables.narrow[k] ? to_float(static_cast<const T*>(tables.table[k])[place])
                              : static_cast<const float*>(tables.table[k])[place];
    }
    return sum;
  }
  static constexpr bool kDropsAfter = true;
};

template <class T, class Source, int kPacks>
__global__ void __launch_bounds__(kThreads)
    forward(LayerNormShape shape, Source source, const float* weight, const float* bias,
            Dropout dropout, T* y, Saved<T> saved) {
  const Philox philox(dropout.random);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t width = shape.width;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t row = blockIdx.x * kWarps + threadIdx.x / 32; row < shape.rows; row += step) {
    float v[kPacks][kPack];
    float total = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int column = (p * 32 + lane) * kPack;
      if (column >= width) continue;
      source.pack(row, column, width, dropout, philox, v[p]);
      if (saved.sum != nullptr) store(saved.sum + row * width + column, v[p]);
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        v[p][i] = rounded<T>(v[p][i]);  // as the backward pass will see it
        total += v[p][i];
      }
    }
    const float mean = sum_of_warp(total) / static_cast<float>(width);
    float squares = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if ((p * 32 + lane) * kPack >= width) continue;
#pragma unroll
      for (int i = 0; i < kPack; ++i) squares += (v[p][i] - mean) * (v[p][i] - mean);
    }
    const float rstd = rsqrtf(sum_of_warp(squares) / static_cast<float>(width) + shape.eps);
    if (lane == 0) {
      saved.mean[row] = mean;
      saved.rstd[row] = rstd;
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int column = (p * 32 + lane) * kPack;
      if (column >= width) continue;
      float w[kPack];
      float b[kPack];
      load(weight + column, w);
      load(bias + column, b);
#pragma unroll
      for (int i = 0; i < kPack; ++i) v[p][i] = (v[p][i] - mean) * rstd * w[i] + b[i];
      const std::int64_t place = row * width + column;
      if (Source::kDropsAfter && dropout.threshold != 0) drop(dropout, philox, place, v[p]);
      store(y + place, v[p]);
    }
  }
}

// Any width and alignment. REQUIRES: saved.sum.
template <class T, class Source>
__global__ void __launch_bounds__(kThreads)
    forward_any(LayerNormShape shape, Source source, const float* weight, const float* bias,
                Dropout dropout, T* y, Saved<T> saved) {
  const Philox philox(dropout.random);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t width = shape.width;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kWarps;
  for (std::int64_t row = blockIdx.x * kWarps + threadIdx.x / 32; row < shape.rows; row += step) {
    T* const sums = saved.sum + row * width;
    float total = 0;
    for (std::int64_t column = lane; column < width; column += 32) {
      sums[column] = from_float<T>(source.one(row, column, width, dropout, philox));
      total += to_float(sums[column]);
    }
    const float mean = sum_of_warp(total) / static_cast<float>(width);
    float squares = 0;
    for (std::int64_t column = lane; column < width; column += 32) {
      const float off = to_float(sums[column]) - mean;
      squares += off * off;
    }
    const float rstd = rsqrtf(sum_of_warp(squares) / static_cast<float>(width) + shape.eps);
    if (lane == 0) {
      saved.mean[row] = mean;
      saved.rstd[row] = rstd;
    }
    for (std::int64_t column = lane; column < width; column += 32) {
      const std::int64_t place = row * width + column;
      float result = (to_float(sums[column]) - mean) * rstd * weight[column] + bias[column];
      if (Source::kDropsAfter && dropout.threshold != 0) {
        result = dropped(dropout, philox, place, result);
      }
      y[place] = from_float<T>(result);
    }
  }
}

unsigned blocks_of(const LayerNormShape& shape) {
  return static_cast<unsigned>(std::min<std::int64_t>((shape.rows + kWarps - 1) / kWarps, 65535));
}

template <class T, class Source>
void launch_forward(const LayerNormShape& shape, const Source& source, bool in_packs,
                    const float* weight, const float* bias, const Dropout& dropout, T* y,
                    const Saved<T>& saved, cudaStream_t stream) {
  const unsigned blocks = blocks_of(shape);
  if (!in_packs) {
    forward_any<T, Source>
        <<<blocks, kThreads, 0, stream>>>(shape, source, weight, bias, dropout, y, saved);
    return;
  }
  const std::int64_t packs = (shape.width + 32 * kPack - 1) / (32 * kPack);
  const auto run = packs <= 1   ? forward<T, Source, 1>
                   : packs <= 3 ? forward<T, Source, 3>
                                : forward<T, Source, 4>;
  run<<<blocks, kThreads, 0, stream>>>(shape, source, weight, bias, dropout, y, saved);
}

}  // namespace

void add_layer_norm_forward(Type type, const LayerNormShape& shape, const void* x,
                            const void* residual, const float* weight, const float* bias,
                            const Dropout& dropout, void* y, const LayerNormSaved& saved,
                            cudaStream_t stream) {
  const bool in_packs = fits(shape) && aligned(x) && aligned(residual) && aligned(weight) &&
                        aligned(bias) && aligned(y) && aligned(saved.sum);
  with_type_of(type, [&]<class T>(T*) {
    const Residual<T> source{static_cast<const T*>(x), static_cast<const T*>(residual)};
    launch_forward<T>(shape, source, in_packs, weight, bias, dropout, static_cast<T*>(y),
                      typed<T>(saved), stream);
  });
}

void embedding_layer_norm_forward(Type type, const LayerNormShape& shape, const Tables& tables,
                                  const float* weight, const float* bias, const Dropout& dropout,
                                  void* y, const LayerNormSaved& saved, cudaStream_t stream) {
  bool in_packs =
      fits(shape) && aligned(weight) && aligned(bias) && aligned(y) && aligned(saved.sum);
  for (int k = 0; k < tables.count; ++k) in_packs = in_packs && aligned(tables.table[k]);
  with_type_of(type, [&]<class T>(T*) {
    launch_forward<T>(shape, TableRows<T>{tables}, in_packs, weight, bias, dropout,
                      static_cast<T*>(y), typed<T>(saved), stream);
  });
}

}  // namespace pergola::cuda
