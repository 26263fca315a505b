// SPDX-License-Identifier: BSD-3-Clause
// What a GPU can compute at most, for the model FLOPs utilisation (MFU; Chowdhery et al., "PaLM:
// Scaling Language Modeling with Pathways", 2022, appendix B). No LibTorch here.
//
//   MFU = FLOPs of the training steps / (their seconds x the device's peak)
#pragma once

#include "host/config/run_config.h"

#include <optional>
#include <string>

namespace pergola::host {

// Floating-point operations a second in `precision`, from the device's name, such as "cuda:0
// (NVIDIA H100 80GB HBM3, 79.2 GiB, compute capability 9.0)"; nothing for a device that is not in
// the table and for a part of one (MIG). The maker's numbers for dense matrices, without
// overclocking.
[[nodiscard]] std::optional<double> peak_flops(const std::string& device, Precision precision);

}  // namespace pergola::host
