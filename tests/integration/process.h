// SPDX-License-Identifier: BSD-3-Clause
// Runs a program and collects what it writes. A Process that is not waited for is killed with its
// object, so a failed test leaves nothing running. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace pergola::test {

struct Launch {
  std::vector<std::string> command;                // the program's path and its words
  std::filesystem::path folder = ".";              // where it runs
  std::map<std::string, std::string> environment;  // over this process's, less all PERGOLA_*
  // Runs in the child before the program, where only async-signal-safe calls are allowed.
  std::function<void()> prepare;
  bool terminal = false;        // stderr is a terminal; otherwise a file
  unsigned short columns = 80;  // of that terminal
};

// For Launch::prepare: root obeys permissions like everybody else, from the program on.
void drop_root_override();

struct Result {
  int exit_code = -1;  // -1 when a signal ended the process
  int killed_by = 0;   // that signal
  std::string out;
  std::string err;
};
std::ostream& operator<<(std::ostream& stream, const Result& result);

class Process {
 public:
  explicit Process(const Launch& launch);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  void send(int signal) const;
  // Waits for the end. After `limit` the process is killed, and the result says so.
  Result wait(std::chrono::seconds limit = std::chrono::seconds(60));
  [[nodiscard]] bool ended();

 private:
  void start(const Launch& launch, int stderr_fd);
  [[nodiscard]] bool wait_for_end(std::chrono::steady_clock::time_point deadline);
  void read_terminal();

  pid_t pid_ = -1;
  int ended_fd_ = -1;     // readable when the process has ended
  int out_fd_ = -1;       // a file in memory
  int err_fd_ = -1;       // the same, or -1 with a terminal
  int terminal_fd_ = -1;  // this side of the terminal
  std::string terminal_text_;
};

[[nodiscard]] inline Result run(const Launch& launch) { return Process(launch).wait(); }

}  // namespace pergola::test
