// SPDX-License-Identifier: BSD-3-Clause
// Trainings that are killed (SIGKILL) at random moments, saves included, and resumed until they are
// done: each ends with the weights, the optimizer and the metrics of the run that was never killed.
//   PERGOLA_FAULT_COUNT   how many runs are killed (200)
//   PERGOLA_FAULT_SEED    of the moments (1)
#include "fault/forked_run.h"

#include <cstdlib>
#include <random>

namespace pergola::test {
namespace {

int number_from(const char* variable, int fallback) {
  const char* text = std::getenv(variable);
  return text == nullptr ? fallback : std::atoi(text);
}

class KillTest : public ForkedRunTest {};

TEST_F(KillTest, ARunThatIsKilledAnywhereEndsAsOneThatWasNot) {
  const int count = number_from("PERGOLA_FAULT_COUNT", 200);
  std::mt19937 random(static_cast<unsigned>(number_from("PERGOLA_FAULT_SEED", 1)));
  const Seconds whole = train_whole();
  int killed = 0;
  for (int i = 0; killed < count; ++i) {
    ASSERT_LT(i, 10 * count) << "most runs end before they are killed";
    const std::string run = "run_" + std::to_string(i);
    std::uniform_real_distribution<double> moment(0, whole.count());
    int code = run_for(run, Seconds(moment(random)));
    if (code == -1) ++killed;
    // Killed again and again, and then left alone.
    for (int again = 0; code == -1 && again < 3; ++again) {
      code = run_for(run, Seconds(moment(random)));
    }
    if (code == -1) code = run_for(run, kForever);
    ASSERT_EQ(code, 0) << run << ": " << text("log");
    expect_same_end(run);
    if (HasFailure()) return;
    std::filesystem::remove_all(path(run));
  }
  // About a third of the time goes into saves; with none of them hit, this test would show little.
  EXPECT_GE(interrupted_saves(), count / 20);
  std::printf("%d runs killed, %d times in a save; one that is not takes %.3f s\n", killed,
              interrupted_saves(), whole.count());
}

}  // namespace
}  // namespace pergola::test
