// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/device.h"

#include "host/device/cuda.h"
#include "pergola/error.h"

#include <ATen/Context.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

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
  prepare_cpu(1);
  EXPECT_EQ(describe_device(c10::Device(c10::kCPU)), "cpu (1 thread)");
}

// A config that was made on a larger machine still runs. In a process of its own, which may use one
// core only, as under taskset.
TEST(DeviceTest, MoreThreadsThanCoresAreAWarning) {
  const auto on_one_core = [](std::int64_t num_threads) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(::sched_getcpu(), &one);
    if (::sched_setaffinity(0, sizeof(one), &one) != 0) ::_exit(2);
    prepare_cpu(num_threads);
    ::_exit(0);
  };
  EXPECT_EXIT(on_one_core(2), ::testing::ExitedWithCode(0),
              "warning: \\[device\\] training.num_threads = 2 is more than the 1 cores that this "
              "process may use");
  EXPECT_EXIT(on_one_core(1), ::testing::ExitedWithCode(0), "^$");
  EXPECT_EXIT(on_one_core(0), ::testing::ExitedWithCode(0), "^$");
}

class DeterministicTest : public testing::Test {
 protected:
  void TearDown() override { set_deterministic(false, false); }
};

TEST_F(DeterministicTest, TakesDeterministicFormsAndRefusesWhatHasNone) {
  set_deterministic(true, /*cudnn_benchmark=*/true);
  const at::Context& context = at::globalContext();
  EXPECT_TRUE(context.deterministicAlgorithms());
  EXPECT_FALSE(context.deterministicAlgorithmsWarnOnly());
  EXPECT_TRUE(context.deterministicCuDNN());
  EXPECT_FALSE(context.benchmarkCuDNN());  // its choice is not the same in each run
  set_deterministic(false, /*cudnn_benchmark=*/true);
  EXPECT_FALSE(context.deterministicAlgorithms());
  EXPECT_FALSE(context.deterministicCuDNN());
  EXPECT_TRUE(context.benchmarkCuDNN());
}

TEST_F(DeterministicTest, CublasGetsItsWorkspaceUnlessTheUserGaveOne) {
  const auto setting = [] { return std::string(::getenv("CUBLAS_WORKSPACE_CONFIG")); };
  ::unsetenv("CUBLAS_WORKSPACE_CONFIG");
  set_deterministic(false, false);
  EXPECT_EQ(::getenv("CUBLAS_WORKSPACE_CONFIG"), nullptr);
  set_deterministic(true, false);
  EXPECT_EQ(setting(), ":4096:8");
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8", /*overwrite=*/1);
  set_deterministic(true, false);
  EXPECT_EQ(setting(), ":16:8");
  ::unsetenv("CUBLAS_WORKSPACE_CONFIG");
}

TEST_F(DeterministicTest, TheOperationThatIsRefusedIsRead) {
  set_deterministic(true, false);
  try {
    at::Context::alertNotDeterministic("some_kernel");
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_EQ(without_deterministic_form(error.what()), "some_kernel");
  }
  EXPECT_EQ(without_deterministic_form("some_kernel ran out of memory"), "");
}

TEST(DeviceTest, ADriverWithoutADeviceAsksForTheVariableThatHidesThem) {
  // CUDA_ERROR_NO_DEVICE is 100 and CUDA_ERROR_SYSTEM_DRIVER_MISMATCH 803.
  EXPECT_EQ(describe_init_failure(100),
            "the NVIDIA driver shows no GPU; is CUDA_VISIBLE_DEVICES set?");
  EXPECT_EQ(describe_init_failure(803), "the NVIDIA driver could not start (cuInit returned 803)");
}

}  // namespace
}  // namespace pergola::host
