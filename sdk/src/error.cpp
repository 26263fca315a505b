// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/error.h"

namespace pergola {

Error::~Error() = default;

void assertion_failed(const char* condition, const char* file, int line) {
  throw Error(ErrorKind::kUnexpected, "a defect of ", file, ":", line, ": '", condition,
              "' does not hold; please report it to its author with the command and the config");
}

}  // namespace pergola
