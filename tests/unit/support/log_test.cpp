// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/log.h"

#include "fixtures/temp_folder.h"
#include "host/support/files.h"
#include "unit/support/error_of.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// stderr goes to `fd` while this lives.
class StderrTo {
 public:
  explicit StderrTo(int fd) : saved_(::dup(STDERR_FILENO)) { ::dup2(fd, STDERR_FILENO); }
  StderrTo(const StderrTo&) = delete;
  StderrTo& operator=(const StderrTo&) = delete;
  ~StderrTo() { ::dup2(saved_.get(), STDERR_FILENO); }

 private:
  UniqueFd saved_;
};

class LogTest : public ::testing::Test {
 protected:
  void TearDown() override {
    init_log(LogLevel::kInfo);
    set_log_sink(nullptr);
  }

  // What `call` writes to a stderr that is a file.
  template <class Call>
  std::string lines_of(Call&& call) {
    {
      const UniqueFd file = create_file(folder_ / "stderr");
      const StderrTo redirect(file.get());
      init_log(LogLevel::kInfo);
      call();
    }
    return folder_.read("stderr");
  }

  // What `call` writes to a stderr that is a terminal of 40 columns.
  template <class Call>
  std::string terminal_of(Call&& call) {
    int master = -1;
    int slave = -1;
    const winsize size{20, 40, 0, 0};
    if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) return "no terminal";
    const UniqueFd master_fd(master);
    const UniqueFd slave_fd(slave);
    termios raw{};
    ::tcgetattr(slave, &raw);
    ::cfmakeraw(&raw);  // so that \n stays \n
    ::tcsetattr(slave, TCSANOW, &raw);
    {
      const StderrTo redirect(slave);
      init_log(LogLevel::kInfo);
      call();
    }
    // A terminal hands over what was written piece by piece, and not at once.
    std::string text;
    pollfd ready{master, POLLIN, 0};
    while (::poll(&ready, 1, 200) > 0) {
      char piece[1000];
      const ssize_t count = ::read(master, piece, sizeof(piece));
      if (count <= 0) break;
      text.append(piece, static_cast<std::size_t>(count));
    }
    return text;
  }

  fixtures::TempFolder folder_;
};

TEST_F(LogTest, ALineHasTimeAreaAndText) {
  EXPECT_THAT(lines_of([] { log::info("[train] ", 3, " epochs"); }),
              MatchesRegex("\\[[0-9]{2}:[0-9]{2}:[0-9]{2}\\] \\[train\\] 3 epochs\n"));
}

TEST_F(LogTest, WarningsAndErrorsAreMarked) {
  const std::string lines = lines_of([] {
    log::warning("[a] careful");
    log::error("[b] wrong");
  });
  EXPECT_THAT(lines, HasSubstr("] warning: [a] careful\n"));
  EXPECT_THAT(lines, HasSubstr("] error: [b] wrong\n"));
  EXPECT_THAT(lines, Not(HasSubstr("\x1b")));  // no colours in a file
}

TEST_F(LogTest, LinesBelowTheLevelAreLeftOut) {
  EXPECT_EQ(lines_of([] { log::debug("[a] detail"); }), "");
  EXPECT_THAT(lines_of([] {
                init_log(LogLevel::kDebug);
                log::debug("[a] detail");
              }),
              HasSubstr("] debug: [a] detail\n"));
}

TEST_F(LogTest, TakesTheLinesOfPlugins) {
  EXPECT_THAT(lines_of([] { pergola::log(LogLevel::kWarning, "[pythia] 100% {} %s"); }),
              HasSubstr("] warning: [pythia] 100% {} %s\n"));
}

TEST_F(LogTest, ControlCharactersReachNeitherTheTerminalNorTheFile) {
  const std::string shown = terminal_of([&] {
    add_log_file(folder_ / "log.txt");
    log::error("the answer '\x1b[2J\r' in\n\ttwo lines");
  });
  EXPECT_THAT(shown, EndsWith("\x1b[0mthe answer '\\x1b[2J\\x0d' in\n\ttwo lines\n"));
  EXPECT_THAT(folder_.read("log.txt"),
              EndsWith("error: the answer '\\x1b[2J\\x0d' in\n\ttwo lines\n"));
}

TEST_F(LogTest, ALogFileIsAppendedToLineByLine) {
  folder_.write("log.txt", "before\n");
  const std::string on_stderr = lines_of([&] {
    add_log_file(folder_ / "log.txt");
    log::info("[a] one");
    EXPECT_THAT(folder_.read("log.txt"), EndsWith("] [a] one\n"));
  });
  EXPECT_THAT(folder_.read("log.txt"),
              MatchesRegex("before\n\\[[-0-9]{10} [:0-9]{8}\\.[0-9]{3}\\] \\[a\\] one\n"));
  EXPECT_THAT(on_stderr, EndsWith("] [a] one\n"));
}

TEST_F(LogTest, SaysOnceThatTheLogFileCannotBeWritten) {
  const std::string lines = lines_of([] {
    add_log_file("/dev/full");
    log::info("[a] one");
    log::info("[a] two");
  });
  EXPECT_THAT(lines, MatchesRegex("\\[.*\\] \\[a\\] one\n"
                                  "warning: \\[log\\] cannot write /dev/full: No space left on "
                                  "device; the log goes on here only\n"
                                  "\\[.*\\] \\[a\\] two\n"));
}

TEST_F(LogTest, SaysThatALogFileCannotBeOpened) {
  EXPECT_EQ(test::error_of([] { add_log_file("/none/log.txt"); }, ErrorKind::kCheckpoint),
            "cannot write /none/log.txt: No such file or directory; check the path");
}

TEST_F(LogTest, LinesOfThreadsAreNotMixed) {
  const std::string lines = lines_of([] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([] {
        for (int j = 0; j < 50; ++j) log::info("[t] ", std::string(60, 'x'));
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  // "[hh:mm:ss] [t] ", 60 times x and the newline.
  ASSERT_EQ(lines.size(), 200U * 76U);
  for (std::size_t i = 75; i < lines.size(); i += 76) EXPECT_EQ(lines[i], '\n');
}

TEST_F(LogTest, TheStatusLineStaysBelowTheLog) {
  const std::string shown = terminal_of([] {
    set_status_line("10%");
    log::info("[a] one");
    clear_status_line();
  });
  EXPECT_THAT(shown, MatchesRegex("\r\x1b\\[2K10%"
                                  "\r\x1b\\[2K\\[.*\\] \\[a\\] one\n10%"
                                  "\r\x1b\\[2K"));
}

TEST_F(LogTest, AStatusLineThatIsTooWideIsCutOff) {
  // 40 columns, of which the last stays free for the cursor.
  EXPECT_EQ(terminal_of([] { set_status_line(std::string(100, 'x')); }),
            "\r\x1b[2K" + std::string(39, 'x'));
}

TEST_F(LogTest, AStatusLineIsShownOnATerminalOnly) {
  EXPECT_EQ(lines_of([] {
              EXPECT_FALSE(stderr_is_terminal());
              EXPECT_EQ(terminal_width(), 80U);
              set_status_line("10%");
            }),
            "");
}

TEST_F(LogTest, ATerminalHasColoursAndAWidth) {
  EXPECT_THAT(terminal_of([] {
                EXPECT_TRUE(stderr_is_terminal());
                EXPECT_EQ(terminal_width(), 40U);
                log::warning("[a] careful");
              }),
              HasSubstr("\x1b[33mwarning: \x1b[0m[a] careful\n"));
}

TEST_F(LogTest, NoColourIsShownWhereTheUserWantsNone) {
  const auto careful = [] { log::warning("[a] careful"); };
  const auto without = [&] {
    set_log_colours(LogColours::kNo);
    careful();
  };
  EXPECT_THAT(terminal_of(without), EndsWith("] warning: [a] careful\n"));
  ::setenv("NO_COLOR", "1", /*overwrite=*/1);
  EXPECT_THAT(terminal_of(careful), EndsWith("] warning: [a] careful\n"));
  ::unsetenv("NO_COLOR");
}

TEST_F(LogTest, ErrorsAloneAreShownWhileTheLogFileGetsAll) {
  const auto quiet = [&] {
    add_log_file(folder_ / "log.txt");
    show_errors_only();
    set_status_line("10%");
    log::warning("[a] careful");
    log::error("[b] wrong");
  };
  EXPECT_THAT(terminal_of(quiet), Not(AnyOf(HasSubstr("10%"), HasSubstr("careful"))));
  EXPECT_THAT(folder_.read("log.txt"), HasSubstr("warning: [a] careful\n"));
  EXPECT_THAT(lines_of(quiet), EndsWith("] error: [b] wrong\n"));
}

TEST_F(LogTest, TheLevelChangesWithoutLosingTheLogFile) {
  EXPECT_EQ(lines_of([&] {
              add_log_file(folder_ / "log.txt");
              set_log_level(LogLevel::kError);
              log::warning("[a] careful");
              EXPECT_FALSE(log::enabled(LogLevel::kWarning));
            }),
            "");
  EXPECT_EQ(folder_.read("log.txt"), "");
}

TEST_F(LogTest, AJsonLogFileHasOneObjectForEachLine) {
  const std::string on_stderr = lines_of([&] {
    add_log_file(folder_ / "log.txt", LogFileFormat::kJson);
    log::warning("[data] a \"quoted\" word,\nand a second line");
    log::info("no area");
  });
  EXPECT_THAT(folder_.read("log.txt"),
              MatchesRegex("\\{\"area\":\"data\",\"level\":\"warning\",\"message\":\"a "
                           "\\\\\"quoted\\\\\" word,\\\\nand a second line\","
                           "\"time\":[0-9]{10}(\\.[0-9]{1,3})?\\}\n"
                           "\\{\"area\":\"\",\"level\":\"info\",\"message\":\"no area\","
                           "\"time\":[0-9.]+\\}\n"));
  EXPECT_THAT(on_stderr, HasSubstr("] warning: [data] a \"quoted\" word,\nand a second line\n"));
}

TEST_F(LogTest, LevelsHaveNames) {
  EXPECT_EQ(parse_log_level("debug"), LogLevel::kDebug);
  EXPECT_EQ(parse_log_level("error"), LogLevel::kError);
  EXPECT_EQ(
      test::error_of([] { (void)parse_log_level("warnin"); }),
      "log level 'warnin' is not one of debug, info, warning, error; did you mean 'warning'?");
}

}  // namespace
}  // namespace pergola::host
