// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/crash_stack.h"

#include "host/support/function_names.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <csignal>
#include <string_view>

namespace pergola::host {
namespace {

constexpr int kMostFrames = 40;

// The handler's own calls come first, and are not shown.
struct Frames {
  std::array<void*, kMostFrames + 16> at;
  int begin = 0;
  int end = 0;
};

// Where a call is: in which file, under which names.
struct Frame {
  const link_map* library = nullptr;  // null: in none
  const char* exported = nullptr;     // the function's name, if it is one that others see
  const KnownPlugin* plugin = nullptr;
  std::uintptr_t address = 0;  // in the file
};

Frame locate(const char* instruction) noexcept {
  Frame frame;
  Dl_info info{};
  link_map* library = nullptr;
  const int found =
      ::dladdr1(instruction, &info, reinterpret_cast<void**>(&library), RTLD_DL_LINKMAP);
  frame.address = reinterpret_cast<std::uintptr_t>(instruction);
  if (found == 0 || library == nullptr) return frame;
  frame.library = library;
  frame.exported = info.dli_sname;
  frame.plugin = plugin_loaded_as(library->l_name);
  frame.address -= library->l_addr;
  return frame;
}

// After a jump to where no code is, nothing can be unwound; but a call has left where it came from.
void take_call_into_nowhere(Frames& frames, const Interrupted& at) noexcept {
  frames.at[0] = const_cast<char*>(at.instruction);
  frames.begin = 0;
  frames.end = 1;
#if defined(__x86_64__)
  frames.at[frames.end++] = *reinterpret_cast<void* const*>(at.stack);
#endif
}

Frames read_stack(const Interrupted& at) noexcept {
  Frames frames;
  frames.end = ::backtrace(frames.at.data(), static_cast<int>(frames.at.size()));
  const auto end = frames.at.begin() + frames.end;
  const auto begin = std::find(frames.at.begin(), end, at.instruction);
  if (begin != end) frames.begin = static_cast<int>(begin - frames.at.begin());
  const bool is_nowhere = locate(at.instruction).library == nullptr;
  const bool is_cut = begin == end || frames.end - frames.begin <= 1;
  if (is_nowhere && is_cut) take_call_into_nowhere(frames, at);
  return frames;
}

std::string_view base_name(std::string_view path) noexcept {
  return path.substr(path.rfind('/') + 1);
}

void add_library(CrashText& out, const Frame& frame) noexcept {
  if (frame.plugin != nullptr) {
    out.add("plugin ");
    out.add(base_name(frame.plugin->file));
  } else if (frame.library == nullptr) {
    out.add("nowhere");
  } else if (*frame.library->l_name == '\0') {
    out.add("pergola");
  } else {
    out.add_foreign(base_name(frame.library->l_name));
  }
}

void add_readable(CrashText& out, std::string_view name) noexcept {
  constexpr std::string_view kString =
      "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";
  for (std::size_t at = name.find(kString); at != std::string_view::npos; at = name.find(kString)) {
    out.add_foreign(name.substr(0, at));
    out.add("std::string");
    name.remove_prefix(at + kString.size());
  }
  out.add_foreign(name);
}

// Is a name made readable at the moment, and did that fail? Of the reporting thread and the
// handlers that interrupt it.
volatile std::sig_atomic_t is_at_name = 0;
volatile std::sig_atomic_t names_are_raw = 0;
sigjmp_buf after_name;

void add_function(CrashText& out, const char* symbol) noexcept {
  out.add(" ");
  const std::string_view name(symbol);
  if (name.starts_with("_Z") && names_are_raw == 0) {
    if (sigsetjmp(after_name, /*savemask=*/1) == 0) {
      is_at_name = 1;
      int status = 0;
      const char* const readable = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
      is_at_name = 0;
      if (readable != nullptr) return add_readable(out, readable);  // never freed: the process ends
    } else {
      is_at_name = 0;
      names_are_raw = 1;
    }
  }
  out.add_foreign(name);
}

void write_frame(CrashText& out, int number, const Frame& frame) noexcept {
  out.add("    ");
  out.add_number(number);
  out.add(number < 10 ? "   " : "  ");
  add_library(out, frame);
  out.add("+");
  out.add_hex(frame.address);
  if (frame.exported != nullptr) {
    add_function(out, frame.exported);
  } else if (frame.library != nullptr) {
    const bool is_program = *frame.library->l_name == '\0';
    const FunctionNames names(is_program ? "/proc/self/exe" : frame.library->l_name);
    const char* const symbol = names.at(frame.address);
    if (symbol != nullptr) add_function(out, symbol);
  }
  out.end_line();
}

template <class Register>
const char* pointer(Register value) noexcept {
  return reinterpret_cast<const char*>(value);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

Interrupted interrupted_at(const void* context) noexcept {
  const mcontext_t& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return {pointer(machine.gregs[REG_RIP]), pointer(machine.gregs[REG_RSP])};
#else
  return {pointer(machine.pc), pointer(machine.sp)};
#endif
}

void prepare_stacks() noexcept {
  void* frame = nullptr;
  static_cast<void>(::backtrace(&frame, 1));  // loads libgcc
}

PluginFrame write_stack(CrashText& out, const Interrupted& at) noexcept {
  const Frames frames = read_stack(at);
  const int end = std::min(frames.end, frames.begin + kMostFrames);
  PluginFrame innermost;
  out.line("  stack, innermost call first:");
  for (int i = frames.begin; i < end; ++i) {
    const auto* const instruction =
        static_cast<const char*>(frames.at[static_cast<std::size_t>(i)]);
    // Calls return to what comes after them, which may be in the next function.
    const Frame frame = locate(i == frames.begin ? instruction : instruction - 1);
    if (frame.plugin != nullptr && innermost.plugin == nullptr) {
      innermost = {frame.plugin, frame.address};
    }
    write_frame(out, i - frames.begin, frame);
  }
  return innermost;
}

void leave_name() noexcept {
  if (is_at_name != 0) siglongjmp(after_name, 1);
}

}  // namespace pergola::host
