// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/device_failure.h"

#include "host/support/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>

namespace pergola::host {
namespace {

std::string failure(const char* text) { return device_failure(std::runtime_error(text)); }

TEST(DeviceFailureTest, OnlyErrorsThatACudaContextDoesNotSurviveCount) {
  EXPECT_EQ(failure("CUDA error: an illegal memory access was encountered\nCUDA kernel errors ..."),
            "an illegal memory access was encountered");
  EXPECT_EQ(failure("CUDA error: device-side assert triggered\nstack"),
            "device-side assert triggered");
  EXPECT_EQ(failure("CUDA error: unspecified launch failure"), "unspecified launch failure");
  EXPECT_EQ(failure("CUDA error: invalid configuration argument"), "");
  EXPECT_EQ(failure("CUDA error: out of memory"), "");
  EXPECT_EQ(failure("an illegal memory access of another kind"), "");
  EXPECT_EQ(failure("what failed\nCUDA error: an illegal memory access"), "");  // of a stack trace
}

TEST(DeviceFailureTest, HowToFindTheCauseDependsOnWhetherCudaIsLate) {
  ::unsetenv("CUDA_LAUNCH_BLOCKING");
  EXPECT_EQ(explain_device_failure("misaligned address"),
            "the GPU reports 'misaligned address', which CUDA tells late, so that work of before "
            "may be the cause: run again with the variable CUDA_LAUNCH_BLOCKING=1, or with "
            "training.detect_anomaly = true, to see where it happens; this process can use the GPU "
            "no more");
  tell_device_errors_at_once();
  EXPECT_EQ(explain_device_failure("misaligned address"),
            "the GPU reports 'misaligned address', and with CUDA_LAUNCH_BLOCKING=1 this is where "
            "it happened; this process can use the GPU no more");
  ::unsetenv("CUDA_LAUNCH_BLOCKING");
}

// As LibTorch's memory does where it is given back to a GPU that failed.
struct Throwing {
  ~Throwing() noexcept { throw_now(); }
  static void throw_now() { throw std::runtime_error("CUDA error: device-side assert triggered"); }
};

[[noreturn]] void lose_device(bool is_told) {
  init_log(LogLevel::kInfo);
  note_device_failure("training_step() of model 'm' failed", 3);
  note_device_failure("a second one", 4);
  if (!device_has_failed()) std::_Exit(1);
  if (is_told) device_failure_was_told();
  std::make_unique<Throwing>().reset();
  std::_Exit(2);
}

TEST(DeviceFailureDeathTest, AProcessThatADestructorEndsSaysWhyOnce) {
  EXPECT_FALSE(device_has_failed());
  EXPECT_EXIT(lose_device(false), testing::ExitedWithCode(3),
              "training_step\\(\\) of model 'm' failed");
  EXPECT_EXIT(lose_device(true), testing::ExitedWithCode(3), "^$");
}

}  // namespace
}  // namespace pergola::host
