// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/waiting_operations.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(WaitingOperations, ReadNumbersAndShapesThatDependOnValuesAreCountedByName) {
  const at::Tensor values = at::arange(6);
  const WaitingOperations waiting;
  static_cast<void>(values[2].item<std::int64_t>());
  static_cast<void>(values[3].item<std::int64_t>());
  static_cast<void>(values.gt(2).nonzero());
  static_cast<void>(values.masked_select(values.gt(2)));
  EXPECT_THAT(waiting.counts(),
              UnorderedElementsAre(Pair("aten::_local_scalar_dense", 2), Pair("aten::nonzero", 1),
                                   Pair("aten::masked_select", 1)));
}

TEST(WaitingOperations, AnIndexByAMaskIsOne) {
  const at::Tensor values = at::arange(6);
  const WaitingOperations waiting;
  static_cast<void>(values.index({values.gt(2)}));
  EXPECT_THAT(waiting.counts(), UnorderedElementsAre(Pair("aten::nonzero", 1)));
}

TEST(WaitingOperations, OrdinaryOperationsAndCopiesWithinADeviceAreNone) {
  at::Tensor values = at::arange(6, at::kFloat);
  const WaitingOperations waiting;
  values.copy_(values.matmul(values).expand({6}));
  static_cast<void>(values.to(at::kDouble).softmax(0));
  EXPECT_THAT(waiting.counts(), IsEmpty());
}

TEST(WaitingOperations, WithAGpuThoseOfTheCpuAreNone) {
  const at::Tensor values = at::arange(6);
  const WaitingOperations waiting{c10::Device(c10::kCUDA, 0)};
  static_cast<void>(values[2].item<std::int64_t>());
  static_cast<void>(values.gt(2).nonzero());
  EXPECT_THAT(waiting.counts(), IsEmpty());
}

TEST(WaitingOperations, OneThatHasEndedIsForgottenByTheNext) {
  const at::Tensor values = at::arange(6);
  {
    const WaitingOperations waiting;
    static_cast<void>(values[2].item<std::int64_t>());
  }
  static_cast<void>(values[2].item<std::int64_t>());
  const WaitingOperations waiting;
  EXPECT_THAT(waiting.counts(), IsEmpty());
}

}  // namespace
}  // namespace pergola::host
