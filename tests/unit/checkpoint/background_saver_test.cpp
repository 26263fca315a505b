// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/background_saver.h"

#include "host/support/log.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <gmock/gmock.h>
#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>

namespace pergola::host::checkpoint_test {
namespace {

using testing::HasSubstr;

class BackgroundSaverTest : public testing::Test {
 protected:
  // A save that keeps what it gets, after `may_begin` was counted down.
  BackgroundSaver::Save keep() {
    return [this](CheckpointContent content) {
      may_begin_.wait();
      for (auto& [name, tensor] : content.model) tensor = tensor.clone();
      for (auto& [name, tensor] : content.trainer) tensor = tensor.clone();
      saved_ = std::move(content);
      ++saves_;
    };
  }
  static void fail(CheckpointContent /*content*/) {
    throw Error(ErrorKind::kCheckpoint, "the disk is full");
  }
  void submit(const CheckpointContent& content) { saver_.submit(content, "", keep()); }

  std::latch may_begin_{1};
  CheckpointContent saved_;
  int saves_ = 0;
  BackgroundSaver saver_;  // last: its thread uses the others
};

TEST_F(BackgroundSaverTest, WhatChangesAfterwardsIsNotSaved) {
  const CheckpointContent content = content_at(1);
  submit(content);
  content.model[0].second.fill_(7);
  content.trainer[0].second.fill_(7);
  may_begin_.count_down();
  saver_.join();
  EXPECT_TRUE(same_content(saved_, content_at(1)));
}

TEST_F(BackgroundSaverTest, CopiesAreOfAnyKindAndPlain) {
  CheckpointContent content = content_at(1);
  content.model = {{"scalar", at::scalar_tensor(2, at::kLong)},
                   {"empty", at::empty({0, 3})},
                   {"turned", at::arange(6, at::kFloat).view({2, 3}).t()},
                   {"repeated", at::ones({1}).expand({4})},
                   {"flags", at::ones({3}, at::kBool)},
                   {"half", at::full({5}, 0.5, at::kBFloat16)},
                   {"weight", at::ones({2, 2}).set_requires_grad(true)}};
  may_begin_.count_down();
  saver_.submit(content, "rng/", keep());
  saver_.join();
  EXPECT_TRUE(same_content(saved_, content));
  for (const auto& [name, tensor] : saved_.model) {
    EXPECT_TRUE(tensor.is_contiguous()) << name;
    EXPECT_FALSE(tensor.requires_grad()) << name;
  }
}

TEST_F(BackgroundSaverTest, AfterTheWaitTheOthersMayChange) {
  may_begin_.count_down();
  const at::Tensor state = at::zeros({1 << 20});
  for (int value = 1; value <= 20; ++value) {
    state.fill_(value);
    CheckpointContent content = content_at(1);
    content.trainer.emplace_back("optimizer/state", state);
    saver_.submit(std::move(content), "optimizer/", keep());
    saver_.wait_for_copy();
    state.fill_(-1);
    saver_.join();
    EXPECT_TRUE((saved_.trainer[1].second == value).all().item<bool>()) << value;
  }
}

TEST_F(BackgroundSaverTest, MemoryIsKeptFromSaveToSave) {
  const void* places[3];
  for (int i = 0; i < 3; ++i) {
    saver_.submit(content_at(i), "", [&places, i](const CheckpointContent& content) {
      places[i] = content.model[0].second.const_data_ptr();
    });
  }
  saver_.join();
  EXPECT_EQ(places[0], places[1]);
  EXPECT_EQ(places[0], places[2]);
}

// The largest tensor on the CPU that this thread makes while it lives.
class LargestTensor final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*pointer*/, std::int64_t size, std::size_t /*allocated*/,
                         std::size_t /*reserved*/, c10::Device /*device*/) override {
    bytes = std::max(bytes, size);
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }

  std::int64_t bytes = 0;
};

TEST_F(BackgroundSaverTest, ASaveInPreparedMemoryTakesNoOther) {
  may_begin_.count_down();
  CheckpointContent content = content_at(3);
  content.trainer.emplace_back("optimizer/state", at::ones({1 << 20}));
  saver_.prepare(content);
  saver_.join();
  const auto largest = std::make_shared<LargestTensor>();
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, largest);
    const at::Tensor counted = at::empty({5}, at::kFloat);
    EXPECT_GE(largest->bytes, 5 * 4);  // it does see them
    submit(content);
  }
  EXPECT_LT(largest->bytes, 4 << 20);
  saver_.join();
  EXPECT_TRUE(same_content(saved_, content));
}

TEST_F(BackgroundSaverTest, ASecondSaveWaitsForTheFirst) {
  std::thread helper([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    may_begin_.count_down();
  });
  submit(content_at(1));
  int before = -1;
  saver_.submit(content_at(2), "", [&](const CheckpointContent& /*content*/) { before = saves_; });
  saver_.join();
  helper.join();
  EXPECT_EQ(before, 1);
}

TEST_F(BackgroundSaverTest, AnErrorComesOutOnceAsItself) {
  saver_.submit(content_at(1), "", fail);
  std::string message;
  // It comes when the thread has got so far.
  for (int i = 0; i < 10'000 && message.empty(); ++i) {
    try {
      saver_.check();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      message = error.what();
    }
  }
  EXPECT_EQ(message, "the disk is full");
  saver_.check();
  saver_.join();
}

TEST_F(BackgroundSaverTest, AfterAnErrorNothingIsSavedBeforeItIsHeardOf) {
  may_begin_.count_down();
  saver_.submit(content_at(1), "", fail);
  EXPECT_EQ(error_of([&] { submit(content_at(2)); }), "the disk is full");
  saver_.join();
  EXPECT_EQ(saves_, 0);
  submit(content_at(3));
  saver_.join();
  EXPECT_EQ(saves_, 1);
}

TEST_F(BackgroundSaverTest, AnErrorThatNobodyAsksForIsInTheLog) {
  init_log(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  {
    BackgroundSaver saver;
    saver.submit(content_at(1), "", fail);
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("error: [checkpoint] the disk is full\n"));
}

TEST_F(BackgroundSaverTest, ItsEndWaitsForTheSave) {
  bool done = false;
  {
    BackgroundSaver saver;
    saver.submit(content_at(1), "", [&done](const CheckpointContent& /*content*/) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      done = true;
    });
  }
  EXPECT_TRUE(done);
}

TEST_F(BackgroundSaverTest, SignalsComeToTheOtherThreads) {
  const auto blocked = [](int signal_number) {
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return ::sigismember(&mask, signal_number) == 1;
  };
  saver_.submit(content_at(1), "", [&](const CheckpointContent& /*content*/) {
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) EXPECT_TRUE(blocked(number));
  });
  saver_.join();
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) EXPECT_FALSE(blocked(number));
}

// 2^52 bytes: more than any machine that tests run on has addresses for.
TEST_F(BackgroundSaverTest, WithoutMemoryForACopyTheSaveIsInPlace) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer ends the program where memory is refused";
#endif
  init_log(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  CheckpointContent content = content_at(1);
  content.model.emplace_back("huge", at::zeros({1}).expand({std::int64_t{1} << 50}));
  bool here = false;
  saver_.submit(content, "",
                [&, caller = std::this_thread::get_id()](const CheckpointContent& given) {
                  here = std::this_thread::get_id() == caller;
                  EXPECT_TRUE(given.model.back().second.is_same(content.model.back().second));
                });
  EXPECT_TRUE(here);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("warning: [checkpoint] there is no memory for a copy, so training waits"));
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
