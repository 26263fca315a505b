// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/forked_child.h"

#include "host/plugin/child_limits.h"
#include "host/support/files.h"
#include "host/support/printable.h"
#include "host/support/signals.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostReport = std::size_t{1} << 20U;
constexpr std::size_t kMostOutput = std::size_t{8} << 10U;
constexpr std::size_t kMostLine = 2000;

[[noreturn]] void throw_errno(const char* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

struct Pipe {
  UniqueFd read;  // does not wait
  UniqueFd write;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  ::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK);
  return pipe;
}

// What the child ends its report with: a plugin that calls exit(0) cannot say it by accident.
std::string draw_token() {
  std::array<std::uint64_t, 2> bits{};
  if (::getentropy(bits.data(), sizeof(bits)) != 0) throw_errno("getentropy");
  return concat("done ", bits[0], '-', bits[1]);
}

// While it lives, no signal is delivered, so that no handler of this process runs in the child, and
// an ended child is kept until it is waited for, which a parent may have turned off.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &mask_);
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &standard, &of_children_);
  }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
  ~SignalsHeld() {
    ::sigaction(SIGCHLD, &of_children_, nullptr);
    deliver();
  }
  // SIGCHLD stays as it is.
  void deliver() noexcept { ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr); }

 private:
  sigset_t mask_{};
  struct sigaction of_children_ {};
};

// noexcept: what `work` throws against its promise must not unwind into the parent's frames.
[[noreturn]] void work_and_end(const ChildWork& work, const std::string& token) noexcept {
  const ChildReport report(kChildReportFd);
  work(report);
  report.line(token);
  ::_exit(0);  // no destructors: they are about this process's work
}

// Ends and reaps the child with all that is in its group, whatever happens.
class Child {
 public:
  explicit Child(pid_t pid) noexcept : pid_(pid) {
    ::setpgid(pid, pid);  // as the child does: who is first does not matter
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  // Asks it to say where it is, if it has a handler that does, and to end.
  void abort() const noexcept { ::kill(pid_, SIGABRT); }

  // Whether it has ended; `end` says how. It is not reaped yet, so that the number of its group is
  // nobody else's.
  [[nodiscard]] bool has_ended(ChildEnd& end) const {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
      if (errno == EINTR) return false;
      throw_errno("waitid");
    }
    if (info.si_pid == 0) return false;
    end.how = info.si_code == CLD_EXITED ? ChildEnd::How::kExited : ChildEnd::How::kKilled;
    end.number = info.si_status;
    return true;
  }

 private:
  pid_t pid_;
};

enum class Keep { kBegin, kEnd };

// What comes out of a pipe, as much of it as is kept.
class Listener {
 public:
  Listener(UniqueFd pipe, Keep keep, std::size_t most)
      : pipe_(std::move(pipe)), keep_(keep), most_(most) {}

  // Takes what is there. A writer that never stops does not hold this up.
  void listen() {
    constexpr int kMostReads = 64;
    std::array<char, 4096> buffer;
    for (int i = 0; pipe_ && i < kMostReads; ++i) {
      const ssize_t count = ::read(pipe_.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return;
      if (count == 0) return pipe_.reset();
      text_.append(buffer.data(), static_cast<std::size_t>(count));
      if (text_.size() <= most_) continue;
      if (keep_ == Keep::kBegin) {
        text_.resize(most_);
      } else {
        text_.erase(0, text_.size() - most_);
      }
    }
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  // For poll(2): -1 when nothing will come any more.
  [[nodiscard]] int fd() const noexcept { return pipe_.get(); }

 private:
  UniqueFd pipe_;
  Keep keep_;
  std::size_t most_;
  std::string text_;
};

// Until one of the two says something, or for a moment: the end of a child whose pipes somebody
// else keeps open is seen by asking.
void wait_a_moment(const Listener& report, const Listener& output, Clock::time_point deadline) {
  using std::chrono::milliseconds;
  const bool is_open = report.fd() >= 0 || output.fd() >= 0;
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  const auto moment = std::clamp(left, milliseconds(0), milliseconds(is_open ? 20 : 1));
  pollfd pipes[] = {{report.fd(), POLLIN, 0}, {output.fd(), POLLIN, 0}};
  ::poll(pipes, std::size(pipes), static_cast<int>(moment.count()));
}

std::string last_line_of(const std::string& text) {
  constexpr const char* kBlank = " \t\r\n";
  const std::size_t last = text.find_last_not_of(kBlank);
  if (last == std::string::npos) return "";
  const std::size_t newline = text.rfind('\n', last);
  const std::size_t begin =
      text.find_first_not_of(kBlank, newline == std::string::npos ? 0 : newline);
  return printable(text.substr(begin, std::min(last - begin + 1, kMostLine)));
}

// A late child may report where it was: it gets a moment for that.
void hear_last_words(const Child& child, Listener& report, Listener& output) {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(1);
  child.abort();
  ChildEnd ignored;
  while (!child.has_ended(ignored) && Clock::now() < deadline) {
    wait_a_moment(report, output, deadline);
    output.listen();
  }
  output.listen();
}

ChildEnd watch(const Child& child, Listener& report, Listener& output, const std::string& token,
               const ChildLimits& limits) {
  const Clock::time_point deadline = Clock::now() + limits.time;
  ChildEnd end;
  while (true) {
    const bool is_late = Clock::now() >= deadline;
    const bool has_ended = child.has_ended(end);  // before the pipes are emptied for the last time
    report.listen();
    output.listen();
    if (has_ended) break;
    if (is_late) {
      hear_last_words(child, report, output);
      end.how = ChildEnd::How::kTimedOut;
      break;
    }
    stop_if_asked();
    wait_a_moment(report, output, deadline);
  }
  end.report = report.text();
  end.output = output.text();
  end.last_line = last_line_of(end.output);
  const std::string last = token + '\n';
  if (!end.report.ends_with(last)) return end;
  end.report.resize(end.report.size() - last.size());
  end.how = ChildEnd::How::kReturned;
  end.number = 0;
  return end;
}

std::string describe_time(std::chrono::milliseconds time) {
  constexpr std::int64_t kSecond = 1000;
  if (time.count() % kSecond == 0) return concat(time.count() / kSecond, " s");
  return concat(time.count(), " ms");
}

std::string describe_memory(std::uint64_t bytes) {
  constexpr std::uint64_t kMib = 1U << 20U;
  constexpr std::uint64_t kGib = 1U << 30U;
  if (bytes % kGib == 0) return concat(bytes / kGib, " GiB");
  return concat(bytes / kMib, " MiB");
}

std::string describe_signal(int number) {
  if (number == SIGABRT) return "called abort()";
  if (number == SIGKILL) return "was killed (perhaps the machine ran out of memory)";
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? concat("crashed with signal ", number)
                         : concat("crashed with SIG", name, " (signal ", number, ")");
}

}  // namespace

std::string describe_end(const ChildEnd& end, const ChildLimits& limits) {
  switch (end.how) {
    case ChildEnd::How::kExited:
      return concat("ended the process with exit code ", end.number);
    case ChildEnd::How::kKilled:
      return describe_signal(end.number);
    case ChildEnd::How::kTimedOut:
      return concat("did not come to an end within ", describe_time(limits.time));
    case ChildEnd::How::kReturned:
      break;
  }
  if (limits.memory == ChildLimits::kUnlimited) return "asked for more memory than there is";
  return concat("asked for more than ", describe_memory(limits.memory), " of memory");
}

void ChildReport::line(std::string_view text) const noexcept {
  const auto write_part = [this](std::string_view part) {
    while (!part.empty()) {
      const ssize_t count = ::write(fd_, part.data(), part.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
      part.remove_prefix(static_cast<std::size_t>(count));
    }
  };
  write_part(text);
  write_part("\n");
}

ChildEnd run_in_child(const ChildWork& work, const ChildLimits& limits) {
  const std::string token = draw_token();
  Pipe report = make_pipe();
  Pipe output = make_pipe();
  std::fflush(stdout);  // or a child that calls exit() writes it, too
  const pid_t parent = ::getpid();
  SignalsHeld signals;
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid == 0) {
    confine_child(parent, output.write.get(), report.write.get(), limits);
    work_and_end(work, token);
  }
  const Child child(pid);
  signals.deliver();
  report.write.reset();
  output.write.reset();
  Listener of_report(std::move(report.read), Keep::kBegin, kMostReport);
  Listener of_output(std::move(output.read), Keep::kEnd, kMostOutput);
  return watch(child, of_report, of_output, token, limits);
}

}  // namespace pergola::host
