// SPDX-License-Identifier: BSD-3-Clause
// Trainings in forks of this process, which has LibTorch loaded: a start costs milliseconds. Each
// is killed or disturbed, resumed until it is done, and compared with one that was left alone.
#pragma once

#include "integration/run_test.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace pergola::test {

using Seconds = std::chrono::duration<double>;

class ForkedRunTest : public RunTest {
 protected:
  static constexpr Seconds kForever{120};

  ForkedRunTest();

  // One process of the run in the folder of that name, resumed where there is something to resume.
  // It calls `disturb` first. Killed after `life`, unless it ends before. Its exit code, or -1.
  // Afterwards the run holds what it promised before.
  int run_for(const std::string& run, Seconds life, const std::function<void()>& disturb = {},
              const Words& more = {});

  // A training of 10 updates, "whole", that is left alone. How long it took.
  Seconds train_whole();

  // The run is done, and its checkpoints, states and metrics are those of the whole one.
  void expect_same_end(const std::string& run) const;

  // How many processes ended while something was half written.
  [[nodiscard]] int interrupted_saves() const noexcept { return interrupted_saves_; }

 private:
  void expect_promised(const std::string& run);

  std::map<std::string, std::int64_t> promised_;  // of each run: the update of its `last`
  int interrupted_saves_ = 0;
};

}  // namespace pergola::test
