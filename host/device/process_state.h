// SPDX-License-Identifier: BSD-3-Clause
// What of the process all code shares, and none but the host may change: LibTorch's defaults and
// modes, the C library's locale and rounding, signal handlers, the working directory. Plain data.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

class ProcessState {
 public:
  // Of this thread, where a thread has its own. Costs some twenty system calls.
  [[nodiscard]] static ProcessState now();

  // What is different in `later`, each as "the default dtype from Float to Double"; empty: nothing.
  [[nodiscard]] std::vector<std::string> changes(const ProcessState& later) const;

 private:
  void add(std::string what, std::string value) {
    values_.emplace_back(std::move(what), std::move(value));
  }

  std::vector<std::pair<std::string, std::string>> values_;  // the same things in the same order
};

}  // namespace pergola::host
