// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/forked_child.h"

#include "fixtures/temp_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

namespace pergola::host {
namespace {

using namespace std::chrono_literals;
using How = ChildEnd::How;

ChildEnd run(const ChildWork& work, std::chrono::milliseconds time = 10s) {
  ChildLimits limits;
  limits.time = time;
  return run_in_child(work, limits);
}

// That no child is left, not even one that has ended.
void expect_no_children() {
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(ForkedChildTest, ItsReportComesBack) {
  int here = 0;
  const ChildEnd end = run([&](const ChildReport& report) {
    ++here;  // in the copy
    report.line("one");
    report.line("two\nthree");
  });
  EXPECT_EQ(end.how, How::kReturned);
  EXPECT_EQ(end.report, "one\ntwo\nthree\n");
  EXPECT_EQ(end.last_line, "");
  EXPECT_EQ(here, 0);
  expect_no_children();
}

// 200 kB are more than a pipe holds, 64 KiB.
TEST(ForkedChildTest, ALongReportComesBackWhole) {
  const std::string line(200'000, 'x');
  const ChildEnd end = run([&](const ChildReport& report) { report.line(line); });
  EXPECT_EQ(end.how, How::kReturned);
  EXPECT_EQ(end.report, line + "\n");
}

TEST(ForkedChildTest, ExitIsToldApartFromTheEndOfTheWork) {
  const ChildEnd zero = run([](const ChildReport& report) {
    report.line("begun");
    ::_exit(0);
  });
  EXPECT_EQ(zero.how, How::kExited);
  EXPECT_EQ(zero.number, 0);
  EXPECT_EQ(zero.report, "begun\n");
  const ChildEnd other = run([](const ChildReport&) { ::_exit(7); });
  EXPECT_EQ(other.how, How::kExited);
  EXPECT_EQ(other.number, 7);
}

// Also where this process has a handler of its own for it.
TEST(ForkedChildTest, ASignalIsTold) {
  const auto before = std::signal(SIGUSR1, [](int) { ::_exit(1); });
  const ChildEnd end = run([](const ChildReport&) { std::raise(SIGUSR1); });
  std::signal(SIGUSR1, before);
  EXPECT_EQ(end.how, How::kKilled);
  EXPECT_EQ(end.number, SIGUSR1);
}

TEST(ForkedChildTest, AnExceptionAgainstThePromiseEndsTheChildAlone) {
  const ChildEnd end = run([](const ChildReport&) { throw 1; });
  EXPECT_EQ(end.how, How::kKilled);
  EXPECT_EQ(end.number, SIGABRT);
  expect_no_children();
}

TEST(ForkedChildTest, WhatItWritesGoesNowhereButItsLastLine) {
  ::testing::internal::CaptureStdout();
  std::printf("of this process");  // not written yet: the child must not write it, too
  const ChildEnd end = run([](const ChildReport&) {
    std::printf("first\nlast \x1b[2J of it\n\n");
    std::exit(0);
  });
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "of this process");
  EXPECT_EQ(end.last_line, "last \\x1b[2J of it");
}

TEST(ForkedChildTest, OneThatWritesWithoutEndIsEndedInTime) {
  const ChildEnd end = run(
      [](const ChildReport& report) {
        while (true) {
          report.line("again and again and again and again and again and again");
          std::puts("and here");
        }
      },
      200ms);
  EXPECT_EQ(end.how, How::kTimedOut);
  EXPECT_NE(end.last_line, "");
  EXPECT_THAT("and here", ::testing::StartsWith(end.last_line));  // it may have been cut off
  expect_no_children();
}

TEST(ForkedChildTest, WhatItStartedEndsWithIt) {
  const ChildEnd end = run([](const ChildReport& report) {
    const pid_t left = ::fork();
    if (left == 0) {
      while (true) ::pause();
    }
    report.line(std::to_string(left));
  });
  EXPECT_EQ(end.how, How::kReturned);
  const auto left = static_cast<pid_t>(std::stol(end.report));
  // Init reaps it: a moment later its number is nobody's.
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  const auto is_running = [left] {
    char state = 'Z';
    const std::string path = "/proc/" + std::to_string(left) + "/stat";
    if (std::FILE* file = std::fopen(path.c_str(), "r"); file != nullptr) {
      if (std::fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 'Z';
      std::fclose(file);
    }
    return state != 'Z';
  };
  while (is_running() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_FALSE(is_running());
}

TEST(ForkedChildTest, ItHasNothingOfThisProcess) {
  const fixtures::TempFolder folder;
  const auto path = folder.write("log.txt", "");
  const int log = ::open(path.c_str(), O_WRONLY);
  const ChildEnd end = run([log](const ChildReport& report) {
    char byte = 0;
    report.line(::write(log, "x", 1) < 0 ? "no log" : "log");
    report.line(::read(STDIN_FILENO, &byte, 1) == 0 ? "no input" : "input");
    report.line(::getpgrp() == ::getpid() ? "own group" : "this group");
  });
  ::close(log);
  EXPECT_EQ(end.report, "no log\nno input\nown group\n");
  EXPECT_EQ(folder.read("log.txt"), "");
}

TEST(ForkedChildTest, MemoryIsLimited) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer ends a process that gets no memory";
#endif
  ChildLimits limits;
  limits.memory = 64U << 20U;
  const auto try_to_get = [&limits](std::size_t bytes) {
    return run_in_child(
               [bytes](const ChildReport& report) {
                 void* got = ::operator new(bytes, std::nothrow);
                 report.line(got == nullptr ? "no" : "yes");
               },
               limits)
        .report;
  };
  EXPECT_EQ(try_to_get(std::size_t{32} << 20U), "yes\n");
  EXPECT_EQ(try_to_get(std::size_t{96} << 20U), "no\n");
}

// As programs do that want no zombies, and what they start inherits it.
TEST(ForkedChildTest, ItIsWaitedForWhereChildrenAreIgnored) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  const ChildEnd end = run([](const ChildReport&) { ::_exit(5); });
  EXPECT_EQ(std::signal(SIGCHLD, before), SIG_IGN);
  EXPECT_EQ(end.how, How::kExited);
  EXPECT_EQ(end.number, 5);
}

}  // namespace
}  // namespace pergola::host
