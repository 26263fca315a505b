// SPDX-License-Identifier: BSD-3-Clause
// What a test writes to the log, as lines. One at a time.
#pragma once

#include "host/support/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

class CapturedLog {
 public:
  CapturedLog() {
    init_log(LogLevel::kInfo);
    ::testing::internal::CaptureStderr();
  }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;
  ~CapturedLog() { static_cast<void>(::testing::internal::GetCapturedStderr()); }

  // All lines so far, without their times. A warning begins with "warning: ".
  const std::vector<std::string>& lines() {
    std::istringstream text(::testing::internal::GetCapturedStderr());
    for (std::string line; std::getline(text, line);) {
      lines_.push_back(line.substr(std::min(line.find("] ") + 2, line.size())));
    }
    ::testing::internal::CaptureStderr();
    return lines_;
  }
  // The warnings, without that word.
  std::vector<std::string> warnings() {
    constexpr std::string_view kWord = "warning: ";
    std::vector<std::string> found;
    for (const std::string& line : lines()) {
      if (line.starts_with(kWord)) found.push_back(line.substr(kWord.size()));
    }
    return found;
  }

 private:
  std::vector<std::string> lines_;
};

}  // namespace pergola::host
