// SPDX-License-Identifier: BSD-3-Clause
// What tests on a GPU inside of this process have in common.
#pragma once

#include "host/device/cuda.h"
#include "host/device/device.h"

#include <gtest/gtest.h>

namespace pergola::host {

// Tests of a class derived from it are skipped, with the reason, where there is no GPU. `Base`:
// testing::Test, or one with parameters.
template <class Base = testing::Test>
class OnGpu : public Base {
 protected:
  void SetUp() override {
    const CudaState state = probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
    static const c10::Device kGpu = select_device("cuda");
    device_ = kGpu;
  }

  c10::Device device_ = c10::Device(c10::kCPU);
};

}  // namespace pergola::host
