// SPDX-License-Identifier: BSD-3-Clause
#include "integration/process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

extern char** environ;

namespace pergola::test {
namespace {

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

std::vector<std::string> environment_of(const Launch& launch) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (text.rfind("PERGOLA_", 0) == 0 || equals == std::string::npos) continue;
    variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : launch.environment) variables[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(name + "=" + value);
  return lines;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

std::string content(int fd) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t count = ::pread(fd, buffer, sizeof(buffer), static_cast<off_t>(text.size()));
    if (count <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const Result& result) {
  if (result.killed_by != 0)
    stream << "killed by signal " << result.killed_by;
  else
    stream << "exit code " << result.exit_code;
  return stream << "\nstdout:\n" << result.out << "\nstderr:\n" << result.err << "\n";
}

Process::Process(const Launch& launch) {
  out_fd_ = checked(::memfd_create("stdout", MFD_CLOEXEC), "memfd_create");
  if (!launch.terminal) {
    err_fd_ = checked(::memfd_create("stderr", MFD_CLOEXEC), "memfd_create");
    start(launch, err_fd_);
    return;
  }
  int slave = -1;
  const winsize size{/*ws_row=*/24, launch.columns, 0, 0};
  checked(::openpty(&terminal_fd_, &slave, nullptr, nullptr, &size), "openpty");
  start(launch, slave);
  ::close(slave);
}

void drop_root_override() {
  ::prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
  ::prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH);
}

void Process::start(const Launch& launch, int stderr_fd) {
  // All that allocates is done before the fork.
  std::vector<std::string> words = launch.command;
  std::vector<std::string> variables = environment_of(launch);
  const std::vector<char*> arguments = pointers(words);
  const std::vector<char*> environment = pointers(variables);
  pid_ = checked(::fork(), "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing outlives the test
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(out_fd_, STDOUT_FILENO);
    ::dup2(stderr_fd, STDERR_FILENO);
    if (::chdir(launch.folder.c_str()) != 0) ::_exit(126);
    if (launch.prepare) launch.prepare();
    ::execve(arguments[0], arguments.data(), environment.data());
    ::_exit(127);
  }
  ended_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  checked(ended_fd_, "pidfd_open");
}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (const int fd : {ended_fd_, out_fd_, err_fd_, terminal_fd_}) {
    if (fd >= 0) ::close(fd);
  }
}

void Process::send(int signal) const { checked(::kill(pid_, signal), "kill"); }

bool Process::ended() { return wait_for_end(std::chrono::steady_clock::now()); }

void Process::read_terminal() {
  char buffer[4096];
  const ssize_t count = ::read(terminal_fd_, buffer, sizeof(buffer));
  if (count > 0) terminal_text_.append(buffer, static_cast<std::size_t>(count));
}

// A terminal is read meanwhile: what it holds is little, and then the program would wait for us.
bool Process::wait_for_end(std::chrono::steady_clock::time_point deadline) {
  while (true) {
    pollfd events[] = {{ended_fd_, POLLIN, 0}, {terminal_fd_, POLLIN, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    const int count = ::poll(events, terminal_fd_ >= 0 ? 2 : 1,
                             static_cast<int>(std::max<long long>(0, left.count())));
    if (count == 0) return false;
    if ((events[1].revents & POLLIN) != 0) {
      read_terminal();
    } else if ((events[0].revents & POLLIN) != 0) {
      return true;
    }
  }
}

Result Process::wait(std::chrono::seconds limit) {
  Result result;
  const bool in_time = wait_for_end(std::chrono::steady_clock::now() + limit);
  if (!in_time) send(SIGKILL);
  int status = 0;
  checked(::waitpid(pid_, &status, 0), "waitpid");
  pid_ = -1;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.killed_by = WTERMSIG(status);
  result.out = content(out_fd_);
  result.err = terminal_fd_ >= 0 ? terminal_text_ : content(err_fd_);
  if (!in_time) result.err += "\n(killed by the test: it took too long)\n";
  return result;
}

}  // namespace pergola::test
