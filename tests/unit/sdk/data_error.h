// SPDX-License-Identifier: BSD-3-Clause
// What a call says when it refuses data.
#pragma once

#include "pergola/error.h"

#include <gtest/gtest.h>

#include <string>

namespace pergola {

// The message of the Error{kData} that `action` throws.
template <class Action>
std::string data_error(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    return error.what();
  }
  return "(no error)";
}

}  // namespace pergola
