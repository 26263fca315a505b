// SPDX-License-Identifier: BSD-3-Clause
// Runs a function in a copy of this process that may crash, hang, call exit() or ask for memory
// without end: this process goes on, and learns how the copy ended. Main thread, and before CUDA is
// initialised, which does not survive a fork. No state.
#pragma once

#include "host/plugin/child_limits.h"

#include <functional>
#include <string>
#include <string_view>

namespace pergola::host {

// What a child says while it works, for it may end at any time.
class ChildReport {
 public:
  explicit ChildReport(int fd) noexcept : fd_(fd) {}
  // Nothing happens when nobody listens any more.
  void line(std::string_view text) const noexcept;

 private:
  int fd_;
};

struct ChildEnd {
  enum class How { kReturned, kExited, kKilled, kTimedOut };

  How how = How::kReturned;
  int number = 0;         // the exit code of kExited, the signal of kKilled
  std::string report;     // its lines, with what else the function wrote there
  std::string output;     // the end of what it wrote to stdout and stderr, not safe to print
  std::string last_line;  // the last line of that, printable; "": none
};

// "crashed with SIGSEGV (signal 11)", "did not come to an end within 10 s", "asked for more than
// 8 GiB of memory": what a child did under these limits. That it returned is not told apart from
// memory that it said had run out.
[[nodiscard]] std::string describe_end(const ChildEnd& end, const ChildLimits& limits);

using ChildWork = std::function<void(const ChildReport& report)>;

// Runs `work` in the child, with the limits, no input, no descriptors of this process, no signal
// handlers, and one OpenMP thread. All that the child started in its process group ends with it.
// One that is late gets SIGABRT first, so that a handler that `work` has set may say where it is.
// Throws std::system_error where the system makes no child, and Stopped when a stop signal comes.
// REQUIRES: `work` does not throw.
[[nodiscard]] ChildEnd run_in_child(const ChildWork& work, const ChildLimits& limits);

}  // namespace pergola::host
