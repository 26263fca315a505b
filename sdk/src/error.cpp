// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/error.h"

namespace pergola {

Error::~Error() = default;

void assertion_failed(const char* condition, const char* file, int line) {
  throw Error(ErrorKind::kUnexpected, "a defect of Pergola: '", condition, "' does not hold at ",
              file, ":", line, "; please report it with the command and the config");
}

}  // namespace pergola
