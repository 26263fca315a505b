// SPDX-License-Identifier: BSD-3-Clause
// What an examination found. Plain data; thread-safe.
#pragma once

#include "pergola/value.h"

#include <map>
#include <string>

namespace pergola::host {

enum class Verdict { kPassed, kFailed, kSkipped };
inline constexpr Verdict kVerdicts[] = {Verdict::kPassed, Verdict::kFailed, Verdict::kSkipped};

// "passed", "failed", "skipped".
[[nodiscard]] const char* verdict_name(Verdict verdict) noexcept;

struct Finding {
  Verdict verdict = Verdict::kPassed;
  std::string text;                       // what was seen; where it failed, what is wrong, and why
  std::map<std::string, double> figures;  // what was measured, to be compared by programs

  // As a table, and back. parse() throws Error{kCheckpoint} for another one.
  [[nodiscard]] Value to_value() const;
  [[nodiscard]] static Finding parse(const Value& value);
};

using Figures = std::map<std::string, double>;

[[nodiscard]] inline Finding passed(std::string text, Figures figures = {}) {
  return {Verdict::kPassed, std::move(text), std::move(figures)};
}
[[nodiscard]] inline Finding failed(std::string text, Figures figures = {}) {
  return {Verdict::kFailed, std::move(text), std::move(figures)};
}
[[nodiscard]] inline Finding skipped(std::string text) {
  return {Verdict::kSkipped, std::move(text), {}};
}

}  // namespace pergola::host
