// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/out_of_memory.h"

#include "host/device/memory.h"

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kGiB = 1 << 30;

// LibTorch 2.11's text, with a neighbour on the device and CUDA graphs.
constexpr const char* kFull =
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 80.00 GiB of "
    "which 1.50 GiB is free. Process 4711 has 12.00 GiB memory in use. Process 12 has 512.00 MiB "
    "memory in use. Including non-PyTorch memory, this process has 66.00 GiB memory in use. Of the "
    "allocated memory 60.00 GiB is allocated by PyTorch, with 4.00 GiB allocated in private pools "
    "(e.g., CUDA Graphs), and 5.00 GiB is reserved by PyTorch but unallocated. If reserved but "
    "unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid "
    "fragmentation.\nException raised from malloc at ../c10/cuda/CUDACachingAllocator.cpp:1";

class OutOfMemoryTest : public testing::Test {
 protected:
  ~OutOfMemoryTest() override { set_memory_settings({}); }

  static MemorySettings settings() {
    MemorySettings settings;
    settings.batch_size = 16;
    settings.update_frequency = 2;
    settings.model = "m";
    return settings;
  }
};

TEST_F(OutOfMemoryTest, AllNumbersOfLibTorchsTextAreRead) {
  const MemoryShortage shortage = MemoryShortage::parse(kFull);
  EXPECT_EQ(shortage.device, "GPU 0");
  EXPECT_EQ(shortage.requested, 2 * kGiB);
  EXPECT_EQ(shortage.total, 80 * kGiB);
  EXPECT_EQ(shortage.free, 1536 * kMiB);
  EXPECT_EQ(shortage.held, 66 * kGiB);
  EXPECT_EQ(shortage.in_tensors, 60 * kGiB);
  EXPECT_EQ(shortage.in_graphs, 4 * kGiB);
  EXPECT_EQ(shortage.unused, 5 * kGiB);
  EXPECT_EQ(shortage.describe(),
            "2.00 GiB were asked for, and of the 80.00 GiB of GPU 0 1.50 GiB were free; this "
            "process holds 66.00 GiB: 60.00 GiB in tensors (4.00 GiB of CUDA graphs), 5.00 GiB "
            "kept unused; process 4711 holds 12.00 GiB, process 12 holds 512.00 MiB");
}

TEST_F(OutOfMemoryTest, AProcessThatIsAloneAndHasNoGraphsIsTold) {
  EXPECT_EQ(MemoryShortage::parse(
                "CUDA out of memory. Tried to allocate 512 bytes. GPU 1 has a total capacity of "
                "14.57 GiB of which 8.94 MiB is free. Including non-PyTorch memory, this process "
                "has 14.00 GiB memory in use. Of the allocated memory 13.00 GiB is allocated by "
                "PyTorch, and 17.00 MiB is reserved by PyTorch but unallocated.")
                .describe(),
            "512 bytes were asked for, and of the 14.57 GiB of GPU 1 8.94 MiB were free; this "
            "process holds 14.00 GiB: 13.00 GiB in tensors, 17.00 MiB kept unused");
}

TEST_F(OutOfMemoryTest, WhatTheProcessMayHaveIsTold) {
  EXPECT_EQ(MemoryShortage::parse(
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
                "80.00 GiB of which 70.00 GiB is free. Including non-PyTorch memory, this process "
                "has 7.50 GiB memory in use. 8.00 GiB allowed; Of the allocated memory 7.00 GiB is "
                "allocated by PyTorch, and 0 bytes is reserved by PyTorch but unallocated.")
                .describe(),
            "2.00 GiB were asked for, and of the 80.00 GiB of GPU 0 70.00 GiB were free, but "
            "per_process_memory_fraction allows this process 8.00 GiB; this process holds 7.50 "
            "GiB: 7.00 GiB in tensors, 0 bytes kept unused");
}

TEST_F(OutOfMemoryTest, TheMachinesOwnMemoryAndOtherTextsAreToldAsFarAsTheyGo) {
  EXPECT_EQ(MemoryShortage::parse("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't "
                                  "allocate memory: you tried to allocate 4294967296 bytes. Error "
                                  "code 12 (Cannot allocate memory)")
                .describe(),
            "4.00 GiB were asked for, and the machine has no more memory for this process");
  EXPECT_EQ(MemoryShortage::parse("std::bad_alloc\nand more").describe(), "std::bad_alloc");
}

TEST_F(OutOfMemoryTest, WhatToChangeComesInTheOrderInWhichItIsToBeTried) {
  const MemoryShortage shortage = MemoryShortage::parse("Tried to allocate 1.00 GiB.");
  EXPECT_EQ(memory_advice(shortage, /*is_training=*/true),
            "try a smaller training.batch_size or model");
  MemorySettings run = settings();
  run.has_plain_attention = true;
  set_memory_settings(run);
  EXPECT_EQ(memory_advice(shortage, /*is_training=*/true),
            "set training.batch_size = 8 and training.update_frequency = 4, which makes the same "
            "updates, or training.on_out_of_memory = \"halve\", which does so when it is needed; "
            "then try training.recompute = true, where the model has it, training.precision = "
            "\"bf16\", model_config.m.attention = \"packed\"");
  run.halves = true;
  run.has_plain_attention = false;
  set_memory_settings(run);
  EXPECT_EQ(memory_advice(shortage, /*is_training=*/false),
            "set training.batch_size = 8; then try training.precision = \"bf16\"");
}

TEST_F(OutOfMemoryTest, NothingIsAdvisedThatTheRunHasAlready) {
  MemorySettings run = settings();
  run.batch_size = 1;
  run.recomputes = true;
  run.is_full_precision = false;
  set_memory_settings(run);
  EXPECT_EQ(memory_advice({}, /*is_training=*/true), "take a smaller model, or shorter inputs");
}

// 5 GiB are there, and 2 were asked for: they were in pieces.
TEST_F(OutOfMemoryTest, WithoutNumbersItMayBeTheBatchesPageLockedMemory) {
  set_memory_settings(settings());
  const std::string advice =
      memory_advice(MemoryShortage::parse("CUDA error: out of memory\nmore"), /*is_training=*/true);
  EXPECT_EQ(advice.find("set training.pin_memory = false or a smaller training.num_workers"), 0U);
  EXPECT_NE(advice.find("or set training.batch_size = 8"), std::string::npos);
  const MemoryShortage full = MemoryShortage::parse(kFull);
  EXPECT_EQ(memory_advice(full, /*is_training=*/true).find("pin_memory"), std::string::npos);
}

TEST_F(OutOfMemoryTest, MemoryInPiecesIsForTheAllocatorsSettings) {
  MemorySettings run = settings();
  set_memory_settings(run);
  const MemoryShortage shortage = MemoryShortage::parse(kFull);
  const std::string begin = "set training.cuda_allocator = \"expandable_segments:True\", since ";
  EXPECT_EQ(memory_advice(shortage, /*is_training=*/true).find(begin), 0U);
  run.sets_allocator = true;
  set_memory_settings(run);
  EXPECT_EQ(memory_advice(shortage, /*is_training=*/true).find("set training.batch_size = 8"), 0U);
}

}  // namespace
}  // namespace pergola::host
