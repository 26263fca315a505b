// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/device.h"

#include "host/device/cuda.h"
#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <thread>

namespace pergola::host {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& wanted) {
  try {
    static_cast<void>(select_device(wanted));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "(no error)";
}

TEST(DeviceTest, CpuIsAlwaysThere) { EXPECT_TRUE(select_device("cpu").is_cpu()); }

TEST(DeviceTest, AnotherWordIsRefusedWithTheKnownOnes) {
  for (const char* wanted : {"gpu", "", "cuda:", "cuda:x", "cuda:-1", "cuda:1x"}) {
    EXPECT_EQ(error_of(wanted), std::string("device '") + wanted +
                                    "' is not known; expected auto, cpu, cuda or cuda:N");
  }
}

TEST(DeviceTest, CudaWithoutAGpuSaysWhyAndWhatToDo) {
  const CudaState state = probe_cuda();
  if (state.problem.empty()) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_THAT(error_of("cuda"), HasSubstr("device 'cuda' cannot be used: " + state.problem));
  EXPECT_THAT(error_of("cuda:1"), HasSubstr("use --device cpu"));
}

TEST(DeviceTest, AutoFallsBackToTheCpu) {
  if (probe_cuda().problem.empty()) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_TRUE(select_device("auto").is_cpu());
}

TEST(DeviceTest, DescriptionNamesTheThreads) {
  prepare_cpu(3);
  EXPECT_EQ(describe_device(c10::Device(c10::kCPU)), "cpu (3 threads)");
}

// A config that was made on a larger machine still runs.
TEST(DeviceTest, MoreThreadsThanCoresAreAWarning) {
  const unsigned cores = std::thread::hardware_concurrency();
  const auto log_of = [](std::int64_t num_threads) {
    testing::internal::CaptureStderr();
    prepare_cpu(num_threads);
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(log_of(cores + 1),
              HasSubstr(concat("warning: [device] training.num_threads = ", cores + 1,
                               " is more than the ", cores, " cores that this process may use")));
  EXPECT_EQ(log_of(cores), "");
  EXPECT_EQ(log_of(0), "");
}

TEST(DeviceTest, ADriverWithoutADeviceAsksForTheVariableThatHidesThem) {
  // CUDA_ERROR_NO_DEVICE is 100 and CUDA_ERROR_SYSTEM_DRIVER_MISMATCH 803.
  EXPECT_EQ(describe_init_failure(100),
            "the NVIDIA driver shows no GPU; is CUDA_VISIBLE_DEVICES set?");
  EXPECT_EQ(describe_init_failure(803), "the NVIDIA driver could not start (cuInit returned 803)");
}

}  // namespace
}  // namespace pergola::host
