// SPDX-License-Identifier: BSD-3-Clause
// What a child process may take, and how it makes sure of that itself. In the child, on its one
// thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>

namespace pergola::host {

struct ChildLimits {
  std::chrono::milliseconds time = std::chrono::seconds(10);
  // Bytes of address space, above what this process has. kUnlimited is for CUDA, which reserves
  // more than any machine has.
  std::uint64_t memory = 8ULL << 30U;
  static constexpr std::uint64_t kUnlimited = ~0ULL;
};

// Where a child reports.
inline constexpr int kChildReportFd = 3;

// Takes from this process, which `parent` has just forked, all that is the parent's: its process
// group, its descriptors but for `output` as stdout and stderr and `report` as kChildReportFd, its
// input, its signal handlers, and its threads. Limits its memory; its time is the parent's to
// limit. It ends when the parent does.
void confine_child(pid_t parent, int output, int report, const ChildLimits& limits);

}  // namespace pergola::host
