// SPDX-License-Identifier: BSD-3-Clause
// One function for each command. Each takes the words after the command's name, writes its result
// to stdout and returns the exit code; errors are thrown. Main thread.
#pragma once

#include <string>
#include <vector>

namespace pergola::host {

using Words = std::vector<std::string>;

int train_command(const Words& words);
int validate_command(const Words& words);
int test_command(const Words& words);
int predict_command(const Words& words);
int tune_command(const Words& words);
int bench_command(const Words& words);
int report_command(const Words& words);
int plugins_command(const Words& words);
int list_command(const Words& words);
int config_command(const Words& words);
int checkpoint_command(const Words& words);
int doctor_command(const Words& words);

}  // namespace pergola::host
