// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/guard.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

namespace pergola::host {
namespace {

// What guarded() says of a hook that ran out of memory; "" when it makes something else of that.
template <class Exception>
std::string out_of_memory(const Exception& exception) {
  try {
    guarded("forward()", [&] { throw Exception(exception); });
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnexpected);
    return error.what();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
  }
  return "";
}

TEST(GuardTest, MemoryThatRanOutIsToldFromOtherErrors) {
  EXPECT_EQ(out_of_memory(std::bad_alloc()),
            "forward() ran out of memory: std::bad_alloc; try a smaller training.batch_size or "
            "model");
  EXPECT_NE(out_of_memory(std::runtime_error("[enforce fail] can't allocate memory: 1 bytes")), "");
  EXPECT_EQ(out_of_memory(std::runtime_error("no memory of that")), "");
}

}  // namespace
}  // namespace pergola::host
