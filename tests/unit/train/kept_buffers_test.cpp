// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/kept_buffers.h"

#include "unit/train/boring.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

class KeptBuffersTest : public testing::Test {
 protected:
  const Registry registry_ = builtin_registry();
  const std::shared_ptr<BoringModel> model_ = make_boring_model(registry_);
};

TEST_F(KeptBuffersTest, WhatWasInThemWhenTheyWereKeptLastComesBack) {
  const at::Tensor one = model_->register_buffer("one", torch::zeros({2, 3}));
  const at::Tensor count = model_->register_buffer("count", torch::zeros({}, torch::kLong));
  KeptBuffers buffers(*model_);
  for (const int value : {1, 2}) {
    one.fill_(value);
    count.fill_(value);
    buffers.keep();
  }
  one.fill_(std::nan(""));
  count.add_(7);
  buffers.restore();
  EXPECT_TRUE(one.equal(torch::full({2, 3}, 2.0F)));
  EXPECT_EQ(count.item<std::int64_t>(), 2);
}

TEST_F(KeptBuffersTest, ItComesBackWhereANumberOfTheDeviceSaysSo) {
  const at::Tensor one = model_->register_buffer("one", torch::ones({2, 3}));
  const at::Tensor count = model_->register_buffer("count", torch::zeros({}, torch::kLong));
  KeptBuffers buffers(*model_);
  buffers.keep();
  one.fill_(std::nan(""));
  count.add_(7);
  buffers.restore_where(torch::zeros({}));
  EXPECT_EQ(count.item<std::int64_t>(), 7);
  EXPECT_TRUE(one.isnan().all().item<bool>());
  buffers.restore_where(torch::ones({}));
  EXPECT_EQ(count.item<std::int64_t>(), 0);
  EXPECT_TRUE(one.equal(torch::ones({2, 3})));
}

TEST_F(KeptBuffersTest, OneThatGrowsIsAsLargeAsItWas) {
  const at::Tensor queue = model_->register_buffer("queue", torch::zeros({0, 3}));
  KeptBuffers buffers(*model_);
  buffers.keep();
  queue.resize_({2, 3}).fill_(1);
  buffers.keep();
  queue.resize_({5, 3}).fill_(9);
  buffers.restore();
  EXPECT_TRUE(queue.equal(torch::ones({2, 3})));
}

TEST_F(KeptBuffersTest, AModelNeedHaveNone) {
  KeptBuffers buffers(*model_);
  buffers.keep();
  buffers.keep();
  buffers.restore();
}

}  // namespace
}  // namespace pergola::host
