// SPDX-License-Identifier: BSD-3-Clause
// Numbers of rows and classes that do not exist end as an error of the device, as LibTorch's own
// operators do, and not in memory of others. Each in a process of its own, which it ruins.
#include "gpu/gpu_fixture.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <ostream>
#include <string>

namespace pergola::host {
namespace {

constexpr int kToldExit = 7;

struct RowUse {
  const char* name;
  // Of x [8, 8] and the numbers of rows [8].
  at::Tensor (*call)(const at::Tensor& x, const at::Tensor& rows);
};
void PrintTo(const RowUse& use, std::ostream* stream) { *stream << use.name; }

constexpr RowUse kRowUses[] = {
    {"gather_rows",
     [](const at::Tensor& x, const at::Tensor& rows) { return ops::gather_rows(x, rows); }},
    {"scatter_rows",
     [](const at::Tensor& x, const at::Tensor& rows) { return ops::scatter_rows(x, rows, 8); }},
    {"embedding_layer_norm",
     [](const at::Tensor& x, const at::Tensor& rows) {
       return ops::embedding_layer_norm({x}, {rows}, x[0], x[0], 0.0, 1e-5);
     }},
    {"cross_entropy",
     [](const at::Tensor& x, const at::Tensor& rows) {
       return ops::cross_entropy(x, rows, /*ignored=*/-1, ops::EmptyMean::kNan);
     }},
};

class WrongRowsTest : public OnGpu<testing::TestWithParam<RowUse>> {};
INSTANTIATE_TEST_SUITE_P(Operators, WrongRowsTest, testing::ValuesIn(kRowUses),
                         [](const auto& use) { return std::string(use.param.name); });

// Rows 1 to 8 of 8, whose last is 7. Without the destructors, which would ask the device more.
[[noreturn]] void use_a_row_too_many(const RowUse& use, c10::Device device) {
  try {
    const at::Tensor x = at::ones({8, 8}, at::TensorOptions(device).dtype(at::kFloat));
    const at::Tensor rows = at::arange(1, 9, at::TensorOptions(device).dtype(at::kLong));
    static_cast<void>(use.call(x, rows).sum().item<float>());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "told: %s\n", error.what());
    ::_exit(kToldExit);
  }
  std::fprintf(stderr, "no error\n");
  ::_exit(0);
}

TEST_P(WrongRowsTest, EndAsAnErrorOfTheDevice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(use_a_row_too_many(GetParam(), device_), testing::ExitedWithCode(kToldExit),
              "told: .*device-side assert");
}

}  // namespace
}  // namespace pergola::host
