// SPDX-License-Identifier: BSD-3-Clause
#include "host/cli/report_output.h"

#include "host/support/files.h"
#include "host/support/output_file.h"
#include "pergola/error.h"

#include <filesystem>
#include <iostream>
#include <system_error>

namespace pergola::host {

namespace {

constexpr OutputKind kReport = {"report.json", ErrorKind::kConfig};

}  // namespace

void expect_output(const Arguments& arguments, const std::string& input) {
  if (!arguments.output) return;
  const std::filesystem::path file = output_file(*arguments.output, kReport);
  std::error_code ignored;
  if (!std::filesystem::equivalent(file, input, ignored)) return;
  throw unfit_output(file, "it is what the report is about", kReport);
}

bool tells_on_stdout(const Arguments& arguments) {
  return arguments.output.has_value() || arguments.format == "text";
}

void write_report(const Arguments& arguments, const std::string& report) {
  if (arguments.output) {
    write_file_atomic(output_file(*arguments.output, kReport), report, ErrorKind::kConfig);
  } else if (!tells_on_stdout(arguments)) {
    std::cout << report;
  }
}

}  // namespace pergola::host
