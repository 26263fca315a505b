// SPDX-License-Identifier: BSD-3-Clause
// What every operator with a kernel of ours needs of LibTorch. Free functions; used on the training
// thread and autograd's.
#pragma once

#include "host/device/cuda/kernels/random.h"
#include "host/device/cuda/kernels/type.h"
#include "pergola/error.h"

#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <mutex>
#include <optional>

namespace pergola::cuda {

// Nothing for a type that kernels do not know.
inline std::optional<Type> type_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return Type::kFloat;
    case at::kHalf:
      return Type::kHalf;
    case at::kBFloat16:
      return Type::kBFloat16;
    default:
      return std::nullopt;
  }
}

// A mask of that probability, with the next four numbers of the device's generator for each
// sequence. Draws nothing for 0.
inline Dropout dropout_of(double probability, c10::Device device) {
  Dropout dropout(probability);
  if (!dropout.active()) return dropout;
  constexpr std::uint64_t kDraws = 4;  // of 32 bits: one call of Philox
  at::Generator generator = at::cuda::detail::getDefaultCUDAGenerator(device.index());
  const std::lock_guard<std::mutex> lock(generator.mutex());
  const at::PhiloxCudaState state =
      at::check_generator<at::CUDAGeneratorImpl>(generator)->philox_cuda_state(kDraws);
  if (state.captured_) {
    dropout.random = {0, state.offset_intragraph_, state.seed_.ptr, state.offset_.ptr};
  } else {
    dropout.random = {state.seed_.val, state.offset_.val, nullptr, nullptr};
  }
  return dropout;
}

// A tensor as a kernel reads it: dense, and in float32 where it says so.
inline at::Tensor as_float(const at::Tensor& x) { return x.to(at::kFloat).contiguous(); }

// In the backward pass of an operator whose gradients have none of their own.
inline void refuse_second_derivatives() {
  if (!at::GradMode::is_enabled()) return;
  throw Error(ErrorKind::kPlugin, "the host's own kernels have no gradients of gradients; use ",
              "pergola::ops::unfused in the model, or set training.fused_kernels = false");
}

// Does this thread's stream record a graph, in place of working?
inline bool is_recording() {
  return c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
}

// The launches since the last check; a kernel's own errors come later, with whoever waits.
inline void check_launch() { C10_CUDA_KERNEL_LAUNCH_CHECK(); }

}  // namespace pergola::cuda
