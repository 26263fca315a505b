// SPDX-License-Identifier: BSD-3-Clause
// The stack of a thread that a fatal signal came to, as its handler writes it. Takes the dynamic
// loader's lock, and C++ names are made readable with memory from the heap; whoever calls this has
// a clock that ends the process where that waits for ever. Of the one thread that reports.
#pragma once

#include "host/support/crash_text.h"
#include "host/support/hook.h"

#include <cstdint>

namespace pergola::host {

// Where a thread was, from its signal handler's third argument.
struct Interrupted {
  const char* instruction = nullptr;
  const char* stack = nullptr;  // its stack pointer
};
[[nodiscard]] Interrupted interrupted_at(const void* context) noexcept;

// Does now what the first stack would do with memory from the heap.
void prepare_stacks() noexcept;

// The innermost call of a plugin; of none: null.
struct PluginFrame {
  const KnownPlugin* plugin = nullptr;
  std::uintptr_t address = 0;  // in its file, of the instruction or call
};

// Writes the 40 innermost calls, each as "plugin good.so+0x1234 function(int)".
PluginFrame write_stack(CrashText& out, const Interrupted& at) noexcept;

// In the handler of a signal that came to the thread that reports: when it came while a name was
// made readable (the heap is damaged, or locked), goes on with the stack, without that, and does
// not return.
void leave_name() noexcept;

}  // namespace pergola::host
