// SPDX-License-Identifier: BSD-3-Clause
// The one exception type that Pergola throws on purpose. Its message is for the user: one sentence
// with what is wrong, what was found, what was expected, where, and the next step. Thread-safe.
#pragma once

#include "pergola/export.h"

#include <sstream>
#include <stdexcept>
#include <string>

namespace pergola {

// Who has to act. The numbers are the exit codes of the `pergola` program.
enum class ErrorKind {
  kUnexpected = 1,  // a defect of the code, Pergola's or a plugin's
  kConfig = 2,      // usage, config file or command line
  kPlugin = 3,      // a plugin file, or the code in it
  kData = 4,        // a data set, a sample, an image
  kCheckpoint = 5,  // a checkpoint or run folder that cannot be read or written
  kNan = 6,         // a loss or score is not a finite number
};

// All parts, streamed one after the other.
template <class... Parts>
[[nodiscard]] std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

class PERGOLA_API Error : public std::runtime_error {
 public:
  // The message is all `parts`, streamed one after the other.
  template <class... Parts>
  explicit Error(ErrorKind kind, const Parts&... parts)
      : std::runtime_error(concat(parts...)), kind_(kind) {}
  ~Error() override;

  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

// Called by PERGOLA_ASSERT: throws Error{kUnexpected} naming the condition and the place.
[[noreturn]] PERGOLA_API void assertion_failed(const char* condition, const char* file, int line);

}  // namespace pergola

// States what only a defect of the code around it can break; never used on input.
#define PERGOLA_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::pergola::assertion_failed(#condition, __FILE__, __LINE__))
