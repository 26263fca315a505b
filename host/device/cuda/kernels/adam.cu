// SPDX-License-Identifier: BSD-3-Clause
// Two kernels: one thread for each tensor counts the step and computes what does not depend on the
// element; then a block for each chunk, in accesses of 16 bytes where the pointers allow it.
#include "host/device/cuda/kernels/adam.h"
#include "host/device/cuda/kernels/chunks.cuh"
#include "host/device/cuda/kernels/vectors.cuh"

#include <algorithm>

namespace pergola::cuda {
namespace {

// Tensors of one launch: as many as fit in the 32 KB that a kernel's arguments may be, and few
// where they are few, since all that space is copied.
constexpr int kFew = 32;
constexpr int kMany = 416;
constexpr std::size_t kMostArgumentBytes = 32764;

// What a step does to each number of a tensor.
struct alignas(16) Coefficients {
  float step;          // rate / (1 - beta1^t)
  float inverse_root;  // 1 / sqrt(1 - beta2^t)
  float eps;
  float decay;          // weight decay, times the rate where it is decoupled
  float average_share;  // 1 - beta1
  float square_share;   // 1 - beta2
  float fading;         // beta2
  float scale;
};
static_assert(sizeof(Coefficients) == kAdamWorkspace * sizeof(float));

template <int kMost>
struct CountArguments {
  int tensors = 0;
  AdamStep common;
  Coefficients* into;
  float* steps[kMost];
  const double* rates[kMost];
  double beta1[kMost];
  double beta2[kMost];
  float eps[kMost];
  double weight_decay[kMost];
};

template <int kMost>
struct StepArguments {
  Chunks<kMost> chunks;
  AdamStep common;
  const Coefficients* coefficients;
  float* parameters[kMost];
  const void* gradients[kMost];
  float* averages[kMost];
  float* squares[kMost];
  __nv_bfloat16* copies[kMost];
  bool narrow[kMost];
};
static_assert(sizeof(CountArguments<kMany>) <= kMostArgumentBytes);
static_assert(sizeof(StepArguments<kMany>) <= kMostArgumentBytes);

__device__ bool is_decoupled(AdamRule rule) {
  return rule == AdamRule::kAdamW || rule == AdamRule::kMmfAdamW;
}

__device__ bool is_skipped(const AdamStep& step) { return step.skip != nullptr && *step.skip != 0; }

template <int kMost>
__global__ void count_steps(const __grid_constant__ CountArguments<kMost> of) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= of.tensors || is_skipped(of.common)) return;
  const float t = *of.steps[i] + 1;
  *of.steps[i] = t;
  const double rate = *of.rates[i];
  const double root = sqrt(1 - pow(of.beta2[i], static_cast<double>(t)));
  const bool eps_first =
      of.common.rule == AdamRule::kMmfAdamW;  // then the root belongs to the step
  const double step = rate / (1 - pow(of.beta1[i], static_cast<double>(t)));
  Coefficients found;
  found.step = static_cast<float>(eps_first ? step * root : step);
  found.inverse_root = static_cast<float>(eps_first ? 1 : 1 / root);
  found.eps = of.eps[i];
  found.decay = static_cast<float>(is_decoupled(of.common.rule) ? rate * of.weight_decay[i]
                                                                : of.weight_decay[i]);
  found.average_share = static_cast<float>(1 - of.beta1[i]);
  found.square_share = static_cast<float>(1 - of.beta2[i]);
  found.scale = of.common.scale == nullptr ? 1.0F : *of.common.scale;
  found.fading = static_cast<float>(of.beta2[i]);
  of.into[i] = found;
}

__device__ void move(const Coefficients& by, AdamRule rule, float gradient, float& parameter,
                     float& average, float& square) {
  float g = gradient * by.scale;
  if (!is_decoupled(rule)) g = fmaf(by.decay, parameter, g);
  average = fmaf(by.average_share, g - average, average);
  float change = by.step * average;
  if (rule == AdamRule::kAdamax) {
    const float size = fabsf(g) + by.eps;
    const float faded = square * by.fading;
    square = size < faded ? faded : size;  // a NaN stays one
    change /= square;
  } else {
    square = fmaf(by.square_share, g * g - square, square);
    change /= fmaf(sqrtf(square), by.inverse_root, by.eps);
  }
  // The step and the decay of the parameter as it was, or as it is after the step.
  if (rule == AdamRule::kAdamW) change = fmaf(by.decay, parameter, change);
  if (rule == AdamRule::kMmfAdamW) change = fmaf(by.decay, parameter - change, change);
  parameter -= change;
}

template <class G>
struct Tensors {
  float* parameter;
  const G* gradient;
  float* average;
  float* square;
  __nv_bfloat16* copy;

  __device__ bool in_fours() const {
    return cuda::in_fours(parameter) && cuda::in_fours(gradient) && cuda::in_fours(average) &&
           cuda::in_fours(square) && (copy == nullptr || cuda::in_fours(copy));
  }

  __device__ void one(const Coefficients& by, AdamRule rule, int i) const {
    float p = parameter[i];
    float m = average[i];
    float v = square[i];
    move(by, rule, to_float(gradient[i]), p, m, v);
    parameter[i] = p;
    average[i] = m;
    square[i] = v;
    if (copy != nullptr) copy[i] = __float2bfloat16_rn(p);
  }
};

// kAtOnce packs a thread, all of whose reads are on their way before the first is used.
template <class G>
__device__ void step_in_fours(const Tensors<G>& of, const Coefficients& by, AdamRule rule,
                              int packs) {
  constexpr int kAtOnce = 2;
  for (int begin = static_cast<int>(threadIdx.x); begin < packs; begin += kAtOnce * kChunkThreads) {
    float p[kAtOnce][4];
    float g[kAtOnce][4];
    float m[kAtOnce][4];
    float v[kAtOnce][4];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int at = 4 * (begin + k * kChunkThreads);
      if (at >= 4 * packs) break;
      read4(of.parameter + at, p[k]);
      read4(of.gradient + at, g[k]);
      read4(of.average + at, m[k]);
      read4(of.square + at, v[k]);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int at = 4 * (begin + k * kChunkThreads);
      if (at >= 4 * packs) break;
#pragma unroll
      for (int i = 0; i < 4; ++i) move(by, rule, g[k][i], p[k][i], m[k][i], v[k][i]);
      write4(of.parameter + at, p[k]);
      write4(of.average + at, m[k]);
      write4(of.square + at, v[k]);
      if (of.copy != nullptr) write4(of.copy + at, p[k]);
    }
  }
}

template <class G>
__device__ void step_chunk(const Tensors<G>& of, const Coefficients& by, AdamRule rule, int count) {
  int done = 0;
  if (of.in_fours()) {
    step_in_fours(of, by, rule, count / 4);
    done = count / 4 * 4;
  }
  for (int i = done + static_cast<int>(threadIdx.x); i < count; i += kChunkThreads) {
    of.one(by, rule, i);
  }
}

// Of a step that is skipped: whoever asks for the copy may take it for the parameter as it is.
__device__ void copy_chunk(const float* parameter, __nv_bfloat16* copy, int count) {
  if (copy == nullptr) return;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kChunkThreads) {
    copy[i] = __float2bfloat16_rn(parameter[i]);
  }
}

template <int kMost>
__global__ void __launch_bounds__(kChunkThreads)
    step(const __grid_constant__ StepArguments<kMost> of) {
  const Chunk chunk = chunk_of(of.chunks, static_cast<int>(blockIdx.x));
  const int k = chunk.tensor;
  const Coefficients by = of.coefficients[k];
  __nv_bfloat16* const copy = of.copies[k] == nullptr ? nullptr : of.copies[k] + chunk.begin;
  float* const parameter = of.parameters[k] + chunk.begin;
  float* const average = of.averages[k] + chunk.begin;
  float* const square = of.squares[k] + chunk.begin;
  if (is_skipped(of.common)) return copy_chunk(parameter, copy, chunk.count);
  if (of.narrow[k]) {
    const auto* gradient = static_cast<const __nv_bfloat16*>(of.gradients[k]) + chunk.begin;
    step_chunk<__nv_bfloat16>({parameter, gradient, average, square, copy}, by, of.common.rule,
                              chunk.count);
  } else {
    const auto* gradient = static_cast<const float*>(of.gradients[k]) + chunk.begin;
    step_chunk<float>({parameter, gradient, average, square, copy}, by, of.common.rule,
                      chunk.count);
  }
}

template <int kMost>
void launch(const AdamTensor* tensors, int count, int chunk, const AdamStep& common,
            Coefficients* workspace, cudaStream_t stream) {
  CountArguments<kMost> counts;
  counts.tensors = count;
  counts.common = common;
  counts.into = workspace;
  StepArguments<kMost> steps;
  steps.chunks.size = chunk;
  steps.common = common;
  steps.coefficients = workspace;
  for (int i = 0; i < count; ++i) {
    const AdamTensor& of = tensors[i];
    counts.steps[i] = of.step;
    counts.rates[i] = of.rate;
    counts.beta1[i] = of.beta1;
    counts.beta2[i] = of.beta2;
    counts.eps[i] = static_cast<float>(of.eps);
    counts.weight_decay[i] = of.weight_decay;
    steps.chunks.add(of.count);
    steps.parameters[i] = of.parameter;
    steps.gradients[i] = of.gradient;
    steps.averages[i] = of.average;
    steps.squares[i] = of.square;
    steps.copies[i] = static_cast<__nv_bfloat16*>(of.copy);
    steps.narrow[i] = of.narrow;
  }
  constexpr int kThreads = 32;  // few for each block: pow takes its time
  count_steps<kMost><<<(count + kThreads - 1) / kThreads, kThreads, 0, stream>>>(counts);
  if (steps.chunks.total() == 0) return;
  step<kMost><<<steps.chunks.total(), kChunkThreads, 0, stream>>>(steps);
}

constexpr int kNumbers = 256;
struct Numbers {
  int count;
  double values[kNumbers];
};

__global__ void write(const __grid_constant__ Numbers numbers, double* into) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < numbers.count) into[i] = numbers.values[i];
}

}  // namespace

void adam(const std::vector<AdamTensor>& tensors, const AdamStep& of, float* workspace,
          cudaStream_t stream) {
  auto* const coefficients = reinterpret_cast<Coefficients*>(workspace);
  const int all = static_cast<int>(tensors.size());
  std::int64_t numbers = 0;
  for (const AdamTensor& tensor : tensors) numbers += tensor.count;
  for (int begin = 0; begin < all; begin += kMany) {
    const int count = std::min(all - begin, kMany);
    const auto run = count <= kFew ? launch<kFew> : launch<kMany>;
    run(tensors.data() + begin, count, chunk_size(numbers), of, coefficients + begin, stream);
  }
}

void write_numbers(const std::vector<double>& numbers, double* into, cudaStream_t stream) {
  const int all = static_cast<int>(numbers.size());
  for (int begin = 0; begin < all; begin += kNumbers) {
    Numbers some;
    some.count = std::min(all - begin, kNumbers);
    std::copy_n(numbers.begin() + begin, some.count, some.values);
    write<<<1, kNumbers, 0, stream>>>(some, into + begin);
  }
}

}  // namespace pergola::cuda
