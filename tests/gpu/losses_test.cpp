// SPDX-License-Identifier: BSD-3-Clause
// Losses on a GPU: the CPU's numbers, and no waiting.
#include "gpu/gpu_fixture.h"
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace pergola::host::loss_test {
namespace {

class GpuLossesTest : public OnGpu<> {
 protected:
  // The example of a loss in single precision, on the GPU.
  [[nodiscard]] Given on_gpu(const std::string& key) const {
    const auto move = [&](const at::Tensor& t) {
      return t.is_floating_point() ? t.to(device_, at::kFloat) : t.to(device_);
    };
    Given given = with_output(example(key), move);
    for (auto& [name, tensor] : given.batch) tensor = move(tensor);
    return leaves_of(given);
  }
};

TEST_F(GpuLossesTest, AreThoseOfTheCpu) {
  for (const std::string& key : losses().keys(Kind::kLoss)) {
    const double expected = value(example(key));
    EXPECT_NEAR(value(on_gpu(key)), expected, 1e-5 * std::abs(expected)) << key;
  }
}

// The GPU is given a tenth of a second of products first. They are still running when the loss and
// its gradients have been asked for, unless that waited.
TEST_F(GpuLossesTest, AreComputedWithoutWaitingForTheGpu) {
  const c10::impl::VirtualGuardImpl gpu(device_.type());
  const at::Tensor matrix = at::ones({8192, 8192}, at::TensorOptions(device_).dtype(at::kFloat));
  at::Tensor product = matrix.matmul(matrix);
  for (const std::string& key : losses().keys(Kind::kLoss)) {
    const Given given = on_gpu(key);
    const auto loss = make_loss(given.loss, given.params);
    const SampleList batch = batch_of(given);
    const ModelOutput output = output_of(given);
    const auto step = [&] { total_loss(loss->compute(batch, output)).backward(); };
    step();  // loads kernels, and moves a weight
    step();  // and those that add to a gradient; to load one is to wait
    gpu.synchronizeDevice(device_.index());
    for (int i = 0; i < 5; ++i) at::mm_out(product, matrix, matrix);
    c10::Event end_of_products(device_.type());
    end_of_products.record(gpu.getStream(device_));
    step();
    EXPECT_FALSE(end_of_products.query()) << key << " waited for the GPU";
    static_cast<void>(value(given));  // a number on the host has to wait
    EXPECT_TRUE(end_of_products.query());
  }
}

}  // namespace
}  // namespace pergola::host::loss_test
