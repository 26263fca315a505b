// SPDX-License-Identifier: BSD-3-Clause
#include "unit/model/sync_watch.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SyncWatchTest, SeesWhatReachesTheHost) {
  const at::Tensor numbers = at::arange(4, at::kFloat);
  const SyncWatch watch;
  static_cast<void>(numbers.sum().item<float>());
  EXPECT_THAT(watch.seen(), ElementsAre("aten::_local_scalar_dense"));
  static_cast<void>(numbers.index({numbers.gt(1)}));
  EXPECT_THAT(watch.seen(), Contains("aten::nonzero"));
}

TEST(SyncWatchTest, LeavesTheRestAlone) {
  const at::Tensor numbers = at::arange(4, at::kFloat);
  const SyncWatch watch;
  static_cast<void>(at::where(numbers.gt(1), numbers, at::zeros_like(numbers)).sum());
  EXPECT_THAT(watch.seen(), IsEmpty());
}

TEST(SyncWatchTest, EndsWithItsScope) {
  { const SyncWatch watch; }
  static_cast<void>(at::ones({}).item<float>());
  const SyncWatch watch;
  EXPECT_THAT(watch.seen(), IsEmpty());
}

}  // namespace
}  // namespace pergola::test
