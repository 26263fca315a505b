// SPDX-License-Identifier: BSD-3-Clause
// What ops_bench compares: operators of ours, each with what it stands for in LibTorch's own.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <string>
#include <vector>

namespace pergola::host {

// Both do the same work, as often as they are called, and only ask the device for it.
struct OpCase {
  std::string name;
  std::function<void()> fused;
  std::function<void()> unfused;
  double bytes = 0;  // that a perfect kernel reads and writes; 0: not said
};

// The step of BERT-base's parameters, with and without clipping and bfloat16 copies of the weights.
[[nodiscard]] std::vector<OpCase> optimizer_cases(c10::Device device);
// Losses of wide outputs, forward and backward.
[[nodiscard]] std::vector<OpCase> loss_cases(c10::Device device);
// Linear layers of many sizes and forms, forward and backward.
[[nodiscard]] std::vector<OpCase> linear_cases(c10::Device device);
// The parts of a transformer's layer, forward and backward.
[[nodiscard]] std::vector<OpCase> transformer_cases(c10::Device device);

}  // namespace pergola::host
