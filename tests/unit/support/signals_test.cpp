// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/signals.h"

#include "pergola/error.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

namespace pergola::host {
namespace {

// The handlers stay installed for the life of the process, so each test is a process of its own.
class SignalsDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SignalsDeathTest, TheFirstSignalIsOnlyNoted) {
  EXPECT_EXIT(
      {
        note_stop_signals();
        const int before = stop_signal();
        ::raise(SIGTERM);
        ::_exit(before == 0 && stop_signal() == SIGTERM ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, TheSecondSignalEndsTheProcessAtOnce) {
  EXPECT_EXIT(
      {
        note_stop_signals();
        ::raise(SIGTERM);
        ::raise(SIGINT);
      },
      ::testing::ExitedWithCode(128 + SIGINT), "");
}

TEST_F(SignalsDeathTest, InstallingAgainForgetsTheFirstSignal) {
  EXPECT_EXIT(
      {
        note_stop_signals();
        ::raise(SIGINT);
        note_stop_signals();
        const int after = stop_signal();
        ::raise(SIGINT);
        ::_exit(after == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, AHangUpIsNotedUnlessItWasIgnored) {
  EXPECT_EXIT(
      {
        ::signal(SIGHUP, SIG_IGN);  // as nohup does
        note_stop_signals();
        ::raise(SIGHUP);
        const int ignored = stop_signal();
        ::signal(SIGHUP, SIG_DFL);
        note_stop_signals();
        ::raise(SIGHUP);
        ::_exit(ignored == 0 && stop_signal() == SIGHUP ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, StopIfAskedThrowsWhatCame) {
  EXPECT_EXIT(
      {
        note_stop_signals();
        stop_if_asked();
        ::raise(SIGTERM);
        try {
          stop_if_asked();
        } catch (const Stopped& stopped) {
          ::_exit(stopped.signal_number());
        }
      },
      ::testing::ExitedWithCode(SIGTERM), "");
}

class EarlyStop : public SignalsDeathTest, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Signals, EarlyStop, ::testing::Values(SIGINT, SIGTERM, SIGHUP, SIGUSR1));

TEST_P(EarlyStop, EndsTheProcessWithASentence) {
  EXPECT_EXIT(
      {
        ::signal(SIGHUP, SIG_DFL);
        end_on_stop_signals();
        ::raise(GetParam());
      },
      ::testing::KilledBySignal(GetParam()),
      concat("^stopped by signal ", GetParam(), "; nothing was written\n$"));
}

TEST_F(SignalsDeathTest, OnceNotedAnEarlyStopIsNone) {
  EXPECT_EXIT(
      {
        end_on_stop_signals();
        note_stop_signals();
        ::raise(SIGTERM);
        ::_exit(stop_signal() == SIGTERM ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "^$");
}

TEST_F(SignalsDeathTest, AFileAtItsLimitIsAnErrorAndNoSignal) {
  EXPECT_EXIT(
      {
        ignore_write_signals();
        const rlimit none{};
        std::FILE* file = std::tmpfile();
        if (file == nullptr || ::setrlimit(RLIMIT_FSIZE, &none) != 0) ::_exit(2);
        const bool failed = ::write(::fileno(file), "x", 1) < 0 && errno == EFBIG;
        ::_exit(failed ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, AClosedPipeIsAnErrorAndNoSignal) {
  EXPECT_EXIT(
      {
        ignore_write_signals();
        int ends[2];
        if (::pipe(ends) != 0) ::_exit(2);
        ::close(ends[0]);
        const bool failed = ::write(ends[1], "x", 1) < 0 && errno == EPIPE;
        ::_exit(failed ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace pergola::host
