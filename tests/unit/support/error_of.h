// SPDX-License-Identifier: BSD-3-Clause
// What a call complained about, so that a test can pin the sentence.
#pragma once

#include "pergola/error.h"

#include <gtest/gtest.h>

#include <string>

namespace pergola::test {

// The message of the Error that `call` throws; fails the test when it throws none, or of another
// kind. Other exceptions pass through and fail it too.
template <class Call>
std::string error_of(Call&& call, ErrorKind kind = ErrorKind::kConfig) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "expected an Error, and nothing was thrown";
  return "";
}

}  // namespace pergola::test
