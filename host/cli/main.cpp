// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/program.h"
#include "host/support/crash_report.h"
#include "host/support/sanitizer.h"

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  pergola::host::report_crashes();
  const int code = pergola::host::run_program({argv + 1, argv + argc});
  if (pergola::host::kHasSanitizer) return code;
  // All is written. What is left are the destructors of static objects: LibTorch's take a tenth of
  // a second, and one of a plugin's that crashes would make a failure of a run that is done.
  std::fflush(nullptr);
  std::_Exit(code);
}
