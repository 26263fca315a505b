// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/arguments.h"
#include "host/cli/commands.h"
#include "host/report/report.h"
#include "host/support/printable.h"

#include <iostream>

namespace pergola::host {

int report_command(const Words& words) {
  const std::string usage = "pergola report RUN [--output FILE] [--samples N]";
  Arguments arguments = parse_arguments(words, usage, Options::kReport);
  if (arguments.help) return 0;
  const std::string run = take_positional(arguments, "RUN, the folder of a run,", usage);
  expect_no_more(arguments, usage);
  const std::size_t samples = arguments.samples.value_or(kReportSamples);
  std::cout << printable(write_report(run, arguments.output, samples).string()) << '\n';
  return 0;
}

}  // namespace pergola::host
