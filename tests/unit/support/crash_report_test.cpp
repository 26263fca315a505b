// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/crash_report.h"

#include "fixtures/temp_folder.h"
#include "host/support/crash_text.h"
#include "host/support/function_names.h"
#include "host/support/hook.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

namespace pergola::host {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHasSanitizer = true;
#else
constexpr bool kHasSanitizer = false;
#endif

// What nobody outside of this file sees, so that its name is in the symbol table alone.
[[gnu::noinline]] void function_of_this_test() { ::raise(SIGILL); }

void crash_in_a_hook() {
  const Hook hook{"forward()", "model", "m\x1b"};
  const HookScope running(hook);
  const UpdateScope training;
  UpdateScope::set(7);
  function_of_this_test();
}

[[gnu::noinline]] void throw_luck() { throw std::runtime_error("no luck"); }
void throw_through_noexcept() noexcept { throw_luck(); }

class CrashReportDeathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    if (kHasSanitizer) GTEST_SKIP() << "the sanitizer reports crashes itself";
  }
};

TEST_F(CrashReportDeathTest, SaysSignalHookUpdateAndFunctionAndEndsByThatSignal) {
  EXPECT_EXIT(
      {
        report_crashes();
        crash_in_a_hook();
      },
      ::testing::KilledBySignal(SIGILL),
      "error: signal 4 \\(SIGILL\\) in forward\\(\\) of model 'm\\?' at update 7\n"
      "  stack, innermost call first:\n(.*\n)*.*function_of_this_test\\(\\).*\n(.*\n)*"
      "  no plugin is on this stack");
}

TEST_F(CrashReportDeathTest, GoesIntoTheLogFileToo) {
  GTEST_FLAG_SET(death_test_style, "fast");  // the other one makes another folder
  const fixtures::TempFolder folder;
  const std::string path = (folder.path() / "log.txt").string();
  EXPECT_EXIT(
      {
        report_crashes();
        set_crash_log(::open(path.c_str(), O_WRONLY | O_CREAT, 0600));
        std::abort();
      },
      ::testing::KilledBySignal(SIGABRT), "error: signal 6 \\(SIGABRT\\)\n");
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "error: signal 6 (SIGABRT)");
}

TEST_F(CrashReportDeathTest, LeavesASignalAloneThatSomebodyHandles) {
  EXPECT_EXIT(
      {
        ::signal(SIGFPE, [](int) { ::_exit(7); });
        report_crashes();
        ::raise(SIGFPE);
      },
      ::testing::ExitedWithCode(7), "^$");
}

TEST_F(CrashReportDeathTest, ALostExceptionIsTold) {
  EXPECT_EXIT(
      {
        report_crashes();
        throw_through_noexcept();
      },
      ::testing::KilledBySignal(SIGABRT),
      "^error: signal 6 \\(SIGABRT\\)\n  an exception that nothing caught: no luck\n");
}

TEST_F(CrashReportDeathTest, ALostExceptionIsToldByOthersWhereTheHandlersWereTakenAway) {
  EXPECT_EXIT(
      {
        std::set_terminate([] { ::_exit(9); });
        report_crashes();
        ::signal(SIGABRT, SIG_DFL);
        throw_through_noexcept();
      },
      ::testing::ExitedWithCode(9), "^$");
}

// This program is not where it was linked to be.
std::uintptr_t load_address() {
  std::uintptr_t address = 0;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t /*size*/, void* first) {
        *static_cast<std::uintptr_t*>(first) = info->dlpi_addr;
        return 1;
      },
      &address);
  return address;
}

TEST(FunctionNamesTest, HasThoseThatAreNotExported) {
  const FunctionNames names("/proc/self/exe");
  const auto address = reinterpret_cast<std::uintptr_t>(&function_of_this_test) - load_address();
  const char* const name = names.at(address);
  ASSERT_NE(name, nullptr);
  EXPECT_NE(std::string(name).find("function_of_this_test"), std::string::npos);
  EXPECT_STREQ(names.at(address + 1), name);
  EXPECT_EQ(names.at(0), nullptr);
}

TEST(FunctionNamesTest, HasNoneOfAFileThatIsNoneOrIsCutOff) {
  const fixtures::TempFolder folder;
  EXPECT_EQ(FunctionNames("/nowhere").at(0), nullptr);
  EXPECT_EQ(FunctionNames(folder.path().c_str()).at(0), nullptr);
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, std::size_t{5000}}) {
    std::string bytes(size, '\0');
    std::ifstream("/proc/self/exe", std::ios::binary)
        .read(bytes.data(), static_cast<std::streamsize>(size));
    EXPECT_EQ(FunctionNames(folder.write("cut", bytes).c_str()).at(64), nullptr) << size;
  }
}

TEST(CrashTextTest, ShowsNothingOfOthersThatATerminalObeys) {
  ::testing::internal::CaptureStderr();
  CrashText text(/*log=*/-1);
  text.add_foreign("a\x1b[2J\xc2\x9b\n");
  text.add_number(-5);
  text.add(" ");
  text.add_hex(255);
  text.end_line();
  text.add(std::string(10'000, 'x'));
  text.end_line();
  // 4096 bytes with the line's end, which is never left out
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "a?[2J??"
            "?-5 0xff\n" +
                std::string(4095, 'x') + "\n");
}

}  // namespace
}  // namespace pergola::host
