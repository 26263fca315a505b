// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/crash_report.h"

#include "host/support/crash_stack.h"
#include "host/support/crash_text.h"
#include "host/support/hook.h"
#include "host/support/printable.h"
#include "host/support/sanitizer.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>

namespace pergola::host {
namespace {

constexpr unsigned kPatienceSeconds = 10;
constexpr std::size_t kStackSize = std::size_t{256} * 1024;  // of the handler; names are recursive

struct FatalSignal {
  int number;
  const char* name;
};
constexpr FatalSignal kSignals[] = {{SIGSEGV, "SIGSEGV"},
                                    {SIGBUS, "SIGBUS"},
                                    {SIGFPE, "SIGFPE"},
                                    {SIGILL, "SIGILL"},
                                    {SIGABRT, "SIGABRT"}};

struct CheckpointPlace {
  std::string shown;     // as the user knows it
  std::string manifest;  // is there when the checkpoint is
};

alignas(16) std::array<char, kStackSize> handler_stack;
std::atomic<const HookScope::Place*> main_place = nullptr;
std::atomic<const CheckpointPlace*> checkpoint = nullptr;
std::atomic<int> crash_log = -1;
std::atomic<const std::string*> lost_exception = nullptr;  // what nothing caught, safe to print
std::atomic<std::terminate_handler> others_terminate = nullptr;
std::atomic<int> reporter = 0;         // the thread that reports
std::atomic<int> reported_signal = 0;  // what it reports
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<void*>::is_always_lock_free,
              "a signal handler must not wait for a lock");

int this_thread() noexcept { return static_cast<int>(::syscall(SYS_gettid)); }

void set_handler(int number, void (*handler)(int)) noexcept {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(number, &action, nullptr);
}

void block(int number, int how) noexcept {
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, number);
  ::pthread_sigmask(how, &one, nullptr);
}

// Of the report's second failure, or when its time is over.
[[noreturn]] void end_at_once() noexcept {
  const int number = reported_signal;
  set_handler(number, SIG_DFL);
  block(number, SIG_UNBLOCK);
  ::raise(number);
  ::_exit(128 + number);
}

// The process ends when the handler returns, where the signal found it.
void end_on_return(int number, siginfo_t& info) noexcept {
  block(number, SIG_BLOCK);  // until the handler returns
  set_handler(number, SIG_DFL);
  if (::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), this_thread(), number, &info) != 0) {
    ::raise(number);
  }
}

bool is_from_outside(const siginfo_t& info) noexcept {
  return info.si_code <= 0 && info.si_pid != ::getpid();
}

void add_reason(CrashText& out, const siginfo_t& info, const Interrupted& at) noexcept {
  constexpr std::uintptr_t kNear = std::uintptr_t{64} * 1024;
  if (is_from_outside(info)) {
    out.add(", sent by process ");
    out.add_number(info.si_pid);
  } else if (info.si_signo == SIGFPE && info.si_code == FPE_INTDIV) {
    out.add(", an integer was divided by zero");
  } else if (info.si_signo == SIGSEGV && info.si_code > 0 && info.si_code != SI_KERNEL) {
    const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
    const auto stack = reinterpret_cast<std::uintptr_t>(at.stack);
    const bool is_full = address - stack + kNear < 2 * kNear;
    out.add(is_full ? ", the stack is full, address " : ", address ");
    out.add_hex(address);
  }
}

// All of the hook and its plugin in the words of an exception's sentence.
void add_hook(CrashText& out, const Hook& hook) noexcept {
  const auto add = [&out](std::string_view text) { out.add_foreign(text); };
  spell_hook(hook, add);
  if (const KnownPlugin* const plugin = plugin_of(hook)) {
    out.add(" (plugin ");
    out.add(plugin->name);
    out.add(" ");
    out.add(plugin->version);
    out.add(")");
  }
}

const char* name_of(int number) noexcept {
  for (const FatalSignal& one : kSignals) {
    if (one.number == number) return one.name;
  }
  return "";
}

// `own`: what this thread is in, or null.
void write_signal(CrashText& out, const siginfo_t& info, const Interrupted& at,
                  HookScope::Place own) noexcept {
  out.add("error: signal ");
  out.add_number(info.si_signo);
  out.add(" (");
  out.add(name_of(info.si_signo));
  add_reason(out, info, at);
  out.add(")");
  if (own != nullptr) {
    out.add(" in ");
    add_hook(out, own->hook());
  }
  bool is_first = true;
  spell_moment(own == nullptr ? Hook{} : own->hook(), [&](std::string_view text) {
    if (is_first) out.add(" at ");
    is_first = false;
    out.add(text);
  });
  out.end_line();
  if (const std::string* const what = lost_exception.load()) {
    out.line("  an exception that nothing caught: ", *what);
  }
}

// Threads of LibTorch's pools work for the main thread, which waits for them.
const Hook* write_main_hook(CrashText& out) noexcept {
  const HookScope::Place* const place = main_place.load();
  if (place == nullptr || place == HookScope::place() || *place == nullptr) return nullptr;
  const Hook& hook = (*place)->hook();
  out.add("  it came on another thread, while the main thread was in ");
  add_hook(out, hook);
  out.end_line();
  return &hook;
}

void write_blame(CrashText& out, const PluginFrame& frame, const Hook* hook) noexcept {
  const KnownPlugin* const of_hook = hook == nullptr ? nullptr : plugin_of(*hook);
  const KnownPlugin* const plugin = frame.plugin != nullptr ? frame.plugin : of_hook;
  if (plugin == nullptr) {
    return out.line(
        "  no plugin is on this stack: please report it with the command and the config");
  }
  out.line("  this is a matter for the plugin's author: ", plugin->name, " ", plugin->version, ", ",
           plugin->file);
  if (frame.plugin == nullptr) return;
  out.add("  its line, where it was built with -g: addr2line -Cfpie ");
  out.add(plugin->file);
  out.add(" ");
  out.add_hex(frame.address);
  out.end_line();
}

void write_next_step(CrashText& out) noexcept {
  const CheckpointPlace* const place = checkpoint.load();
  if (place == nullptr) return;
  const bool is_there = ::access(place->manifest.c_str(), F_OK) == 0;
  if (is_there) {
    out.line("  the last checkpoint is ", place->shown, ": go on with --resume");
  } else {
    out.line("  there is no checkpoint yet: begin again with --overwrite");
  }
}

void report(const siginfo_t& info, const void* context) noexcept {
  if (::isatty(STDERR_FILENO) == 1) {
    constexpr std::string_view kClearLine = "\r\x1b[2K";  // of a progress bar
    static_cast<void>(!::write(STDERR_FILENO, kClearLine.data(), kClearLine.size()));
  }
  CrashText out(crash_log);
  const Interrupted at = interrupted_at(context);
  const HookScope::Place own = *HookScope::place();
  write_signal(out, info, at, own);
  const Hook* const hook = own != nullptr ? &own->hook() : write_main_hook(out);
  const PluginFrame frame = write_stack(out, at);
  if (!is_from_outside(info)) write_blame(out, frame, hook);
  write_next_step(out);
}

// Comes to any thread.
extern "C" void on_time_is_up(int /*number*/) {
  if (reporter == 0) return;
  if (reporter != this_thread()) {
    ::syscall(SYS_tgkill, ::getpid(), reporter.load(), SIGALRM);
    return;
  }
  ::alarm(kPatienceSeconds);
  leave_name();
  end_at_once();
}

extern "C" void on_fatal_signal(int number, siginfo_t* info, void* context) {
  int none = 0;
  if (!reporter.compare_exchange_strong(none, this_thread())) {
    while (none != this_thread()) ::pause();  // until the other thread has ended the process
    leave_name();
    end_at_once();
  }
  reported_signal = number;
  set_handler(SIGALRM, &on_time_is_up);
  block(SIGALRM, SIG_UNBLOCK);
  ::alarm(kPatienceSeconds);
  report(*info, context);
  end_on_return(number, *info);
}

bool is_reported(int number) noexcept {
  struct sigaction now {};
  ::sigaction(number, nullptr, &now);
  return now.sa_sigaction == &on_fatal_signal;
}

// One line, safe to print.  REQUIRES: in a terminate handler.
std::string text_of_exception() {
  std::string what = "of a type that only its plugin knows";
  try {
    if (std::current_exception()) throw;
    what = "std::terminate() was called without one";
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  return printable(what.substr(0, what.find('\n')));
}

[[noreturn]] void on_lost_exception() noexcept {
  // In a forked child, say, that has taken the handlers away.
  if (!is_reported(SIGABRT)) others_terminate.load()();
  try {
    lost_exception = new std::string(text_of_exception());
  } catch (const std::bad_alloc&) {  // the rest is said without it
  }
  std::abort();
}

}  // namespace

void report_crashes() noexcept {
  if (kHasSanitizer) return;
  main_place = HookScope::place();
  prepare_stacks();
  stack_t stack{};
  stack.ss_sp = handler_stack.data();
  stack.ss_size = handler_stack.size();
  ::sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = &on_fatal_signal;
  // A second fault in the handler must reach the handler: SA_NODEFER.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const FatalSignal& one : kSignals) {
    struct sigaction before {};
    ::sigaction(one.number, nullptr, &before);
    if (before.sa_handler == SIG_DFL) ::sigaction(one.number, &action, nullptr);
  }
  const std::terminate_handler before = std::set_terminate(&on_lost_exception);
  if (before != &on_lost_exception) others_terminate = before;
}

void set_crash_checkpoint(const std::filesystem::path& last, const char* manifest) {
  std::error_code ignored;
  const auto whole = std::filesystem::absolute(last, ignored);
  // Never freed: a handler may look at it, and there is one in a process.
  checkpoint = new CheckpointPlace{printable(last.string()), (whole / manifest).string()};
}

std::string way_to_go_on() {
  const CheckpointPlace* const place = checkpoint.load();
  if (place == nullptr) return "";
  if (::access(place->manifest.c_str(), F_OK) != 0) {
    return "there is no checkpoint yet: begin again with --overwrite";
  }
  return "the last checkpoint is " + place->shown + ": go on with --resume";
}

void set_crash_log(int fd) noexcept { crash_log = fd; }

}  // namespace pergola::host
