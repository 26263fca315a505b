// SPDX-License-Identifier: BSD-3-Clause
// What a check found, as text for people, JSON for programs and JUnit for CI servers. No state.
#pragma once

#include "host/check/check.h"

#include <string>

namespace pergola::host {

// "  passed   contract          scores [5, 13], losses train/example/logit_bce", with a newline
// (further lines of the text are indented by four blanks); a line "model pythia" before it where
// that is not `model`, which it is then.
[[nodiscard]] std::string as_lines(const Examined& examined, std::string& model);
// "17 passed, 1 failed, 2 skipped in 4.2 s", with a newline.
[[nodiscard]] std::string as_summary(const CheckReport& report);
// All of the two.
[[nodiscard]] std::string as_text(const CheckReport& report);

// {"plugin", "file", "sha256", "passed", "failed", "skipped", "examined": [{"model", "examination",
// "verdict", "text", "figures", "seconds"}]}, with a newline.
[[nodiscard]] std::string as_json(const CheckReport& report);

// A testsuite for each model, a testcase for each examination; those of the whole plugin are in a
// testsuite of its name.
[[nodiscard]] std::string as_junit(const CheckReport& report);

}  // namespace pergola::host
