// SPDX-License-Identifier: BSD-3-Clause
// Tensors of a GPU that are saved in the background, while the GPU goes on to change them.
#include "host/checkpoint/background_saver.h"

#include "gpu/gpu_fixture.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

class GpuBackgroundSaverTest : public OnGpu<> {
 protected:
  [[nodiscard]] at::Tensor on_gpu(std::int64_t size) const {
    return at::zeros({size}, at::device(device_));
  }
  static bool all_are(const at::Tensor& tensor, int value) {
    return (tensor == value).all().item<bool>();
  }
};

TEST_F(GpuBackgroundSaverTest, WhatIsSavedIsOfTheTimeOfTheSubmit) {
  BackgroundSaver saver;
  const at::Tensor weight = on_gpu(std::int64_t{16} << 20);
  const at::Tensor moment = on_gpu(std::int64_t{16} << 20);
  const at::Tensor rng = at::zeros({100}, at::kByte);
  for (int value = 1; value <= 10; ++value) {
    for (const at::Tensor& tensor : {weight, moment, rng}) tensor.fill_(value);
    CheckpointContent content;
    content.model = {{"weight", weight}, {"turned", weight.view({1024, -1}).t()}};
    content.trainer = {{"optimizer/moment", moment}, {"rng/cuda", rng}};
    saver.submit(std::move(content), "optimizer/", [value](const CheckpointContent& saved) {
      for (const StateDict* part : {&saved.model, &saved.trainer}) {
        for (const auto& [name, tensor] : *part) {
          EXPECT_TRUE(tensor.is_cpu()) << name;
          EXPECT_TRUE(all_are(tensor, value)) << name << ' ' << value;
        }
      }
    });
    for (const at::Tensor& tensor : {weight, rng}) tensor.fill_(99);
    saver.wait_for_copy();
    moment.fill_(99);
  }
  saver.join();
}

TEST_F(GpuBackgroundSaverTest, TheCopyIsInMemoryThatAGpuReachesAtFullSpeed) {
  BackgroundSaver saver;
  CheckpointContent content;
  content.model = {{"weight", on_gpu(10)}};
  saver.submit(std::move(content), "", [](const CheckpointContent& saved) {
    EXPECT_TRUE(saved.model[0].second.is_pinned());
  });
  saver.join();
}

}  // namespace
}  // namespace pergola::host
