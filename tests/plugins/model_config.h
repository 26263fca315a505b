// SPDX-License-Identifier: BSD-3-Clause
// What the tests of a model share that needs no LibTorch: its config as the host hands it over, and
// the sentence of an error.
#pragma once

#include "pergola/config.h"
#include "pergola/error.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pergola::test {

// The defaults of plugins/<plugin>/plugin.toml with each of `changes` merged in, which is TOML as
// under `model_config.<model>`: tables merge, arrays are replaced. A plugin is named as its model
// unless told otherwise.
[[nodiscard]] Config model_config(const std::string& model, const std::vector<std::string>& changes,
                                  const std::string& plugin = "");

// The message of the Error of that kind that `action` throws; a failure when it throws none.
template <class Action>
[[nodiscard]] std::string error_of(ErrorKind kind, Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace pergola::test
