// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/memory.h"

#include "host/config/allocator_settings.h"
#include "pergola/error.h"

#include <c10/core/AllocatorConfig.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

TEST(MemoryTest, MemoryThatIsWrittenToCounts) {
  constexpr std::int64_t kBytes = 64 << 20;
  const std::int64_t before = process_memory();
  const std::vector<char> block(kBytes, 1);
  // Other memory may have been given back meanwhile; never that much.
  EXPECT_GT(process_memory(), before + kBytes / 2);
  EXPECT_EQ(block.back(), 1);
}

TEST(MemoryTest, TheCpuHasNoMemoryOfItsOwn) {
  EXPECT_FALSE(device_memory(c10::Device(c10::kCPU)).has_value());
}

TEST(MemoryTest, NothingIsKnownOfADeviceThatWasNotUsed) {
  EXPECT_FALSE(device_memory(c10::Device(c10::kCUDA, 0)).has_value());
}

TEST(MemoryTest, AskingTheCpuForRoomChangesNothing) {
  EXPECT_FALSE(device_room(c10::Device(c10::kCPU)).has_value());
  release_unused_memory(c10::Device(c10::kCPU));
  release_unused_memory(c10::Device(c10::kCUDA, 0));  // which is not loaded
}

TEST(MemoryTest, BytesAreToldInTheUnitThatTheyFillBest) {
  EXPECT_EQ(bytes_text(0), "0 bytes");
  EXPECT_EQ(bytes_text(1), "1 byte");
  EXPECT_EQ(bytes_text(1023), "1023 bytes");
  EXPECT_EQ(bytes_text(1536), "1.50 KiB");
  EXPECT_EQ(bytes_text((1 << 20) - 1), "1.00 MiB");  // 1023.999 KiB
  EXPECT_EQ(bytes_text(std::int64_t{3} << 40), "3.00 TiB");
  EXPECT_EQ(bytes_text(std::int64_t{5000} << 40), "5000.00 TiB");
}

TEST(MemoryTest, TheEndOfARunTellsWhatWasReserved) {
  constexpr std::int64_t kGiB = 1 << 30;
  EXPECT_EQ(describe(DeviceMemory{0, 16 * kGiB, 0, 18 * kGiB, 1}),
            "at most 16.00 GiB in tensors, 18.00 GiB reserved; 1 time memory kept unused had to be "
            "given back");
}

class AllocatorTest : public testing::Test {
 protected:
  AllocatorTest() {
    ::unsetenv("PYTORCH_ALLOC_CONF");
    ::unsetenv("PYTORCH_CUDA_ALLOC_CONF");
  }
  ~AllocatorTest() override {
    ::unsetenv("PYTORCH_ALLOC_CONF");
    Settings::instance().parseArgs("expandable_segments:False");
  }
  using Settings = c10::CachingAllocator::AcceleratorAllocatorConfig;
};

TEST_F(AllocatorTest, TheConfigsSettingsReachLibTorch) {
  set_allocator("");
  EXPECT_FALSE(Settings::use_expandable_segments());
  set_allocator("expandable_segments:True");
  EXPECT_TRUE(Settings::use_expandable_segments());
}

// Which of a later LibTorch are new is told by its names.
TEST_F(AllocatorTest, TheConfigTakesEachSettingThatLibTorchHas) {
  for (const std::string& name : Settings::getKeys()) {
    std::string problem;
    try {
      const std::string settings = name + ":1";
      const Config config(Value::Table{{"cuda_allocator", settings}}, "training");
      static_cast<void>(allocator_settings(config, "cuda_allocator"));
    } catch (const Error& error) {
      problem = error.what();
    }
    EXPECT_EQ(problem.find("does not know"), std::string::npos) << problem;
  }
}

TEST_F(AllocatorTest, AVariableOfTheEnvironmentWins) {
  ::setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:64", 1);
  set_allocator("expandable_segments:True");
  EXPECT_FALSE(Settings::use_expandable_segments());
}

TEST_F(AllocatorTest, SettingsThatLibTorchDoesNotKnowAreAConfigError) {
  try {
    set_allocator("expandable_segments:Yes");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_NE(std::string(error.what())
                  .find("training.cuda_allocator = \"expandable_segments:Yes\" is not what"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace pergola::host
