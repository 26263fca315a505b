// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/program.h"
#include "host/support/crash_report.h"

int main(int argc, char** argv) {
  pergola::host::report_crashes();
  return pergola::host::run_program({argv + 1, argv + argc});
}
