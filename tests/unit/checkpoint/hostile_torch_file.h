// SPDX-License-Identifier: BSD-3-Clause
// The fixture of files that somebody made to run code, to fill the memory or to crash: each must be
// an Error, at once and at no cost.
#pragma once

#include "host/checkpoint/weights.h"
#include "unit/checkpoint/torch_file_kit.h"

#include <chrono>
#include <fstream>

namespace pergola::host::checkpoint_test {

inline const std::string kFourFloats(16, '\0');

inline double peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib / 1024;
  }
  return 0;
}

class HostileTorchFileTest : public testing::Test {
 protected:
  // The error of a file of these bytes, which must come at once and cost nothing.
  [[nodiscard]] std::string error_of_file(const std::string& bytes) const {
    write_bytes(file_, bytes);
    const double before = peak_mib();
    const auto begin = std::chrono::steady_clock::now();
    std::string message = error_of([&] { static_cast<void>(read_weights(file_)); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(seconds.count(), 2) << message;  // milliseconds, but for a busy machine
    EXPECT_LT(peak_mib() - before, 300) << message;
    return message;
  }
  [[nodiscard]] std::string error_of_pickle(const std::string& value) const {
    return error_of_file(torch_zip(value, {kFourFloats}));
  }
  // Of a dict with one tensor of this description over four floats.
  [[nodiscard]] std::string error_of_tensor(std::int64_t offset,
                                            const std::vector<std::int64_t>& sizes,
                                            const std::vector<std::int64_t>& strides) const {
    return error_of_pickle(
        dict({{"w", tensor(storage("FloatStorage", "0", 4), offset, sizes, strides)}}));
  }
  // The pieces are sound: what is refused is refused for what a test changed.
  [[nodiscard]] StateDict read(const std::string& bytes) const {
    write_bytes(file_, bytes);
    return read_weights(file_).state;
  }

  TempFolder folder_{memory_or_disk()};
  fs::path file_ = folder_ / "bad.pt";
};

inline const std::string kSound =
    dict({{"w", tensor(storage("FloatStorage", "0", 4), 0, {2, 2}, {2, 1})}});

}  // namespace pergola::host::checkpoint_test
