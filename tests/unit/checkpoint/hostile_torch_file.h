// SPDX-License-Identifier: BSD-3-Clause
// The fixture of files that somebody made to run code, to fill the memory or to crash: each must be
// an Error, at once and at no cost.
#pragma once

#include "host/checkpoint/weights.h"
#include "unit/checkpoint/torch_file_kit.h"

#include <malloc.h>

#include <ctime>
#include <fstream>

namespace pergola::host::checkpoint_test {

inline const std::string kFourFloats(16, '\0');

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr double kSlack = 10;  // what is freed stays taken for a while, and all is slower
#else
inline constexpr double kSlack = 1;
#endif

struct Cost {
  double mib;      // of memory, at the peak
  double seconds;  // of the processor: a busy machine makes no file slow
};

// A line of /proc/self/status.
inline double status_mib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == key && status >> kib) return kib / 1024;
  }
  return 0;
}

// What `work` takes, whatever this process has taken and given back before.
template <class Work>
Cost cost_of(const Work& work) {
  ::malloc_trim(0);  // what is taken again from the heap's free memory would not be seen
  EXPECT_TRUE(std::ofstream("/proc/self/clear_refs") << "5" << std::flush) << "the peak stays";
  const double before = status_mib("VmRSS:");
  const std::clock_t begin = std::clock();
  work();
  const std::clock_t end = std::clock();
  return {status_mib("VmHWM:") - before, static_cast<double>(end - begin) / CLOCKS_PER_SEC};
}

class HostileTorchFileTest : public testing::Test {
 protected:
  // The error of a file of these bytes, which must come at once and cost next to nothing.
  [[nodiscard]] std::string error_of_file(const std::string& bytes,
                                          const Cost& most = {.mib = 50, .seconds = 0.2}) const {
    write_bytes(file_, bytes);
    std::string message;
    const Cost cost =
        cost_of([&] { message = error_of([&] { static_cast<void>(read_weights(file_)); }); });
    EXPECT_LT(cost.mib, most.mib * kSlack) << message;
    EXPECT_LT(cost.seconds, most.seconds * kSlack) << message;
    return message;
  }
  [[nodiscard]] std::string error_of_pickle(const std::string& value) const {
    return error_of_file(torch_zip(value, {kFourFloats}));
  }
  // Of a pickle that goes on until the reader's limits: of a stack of a million values, two million
  // values and 25 million operations.
  [[nodiscard]] std::string error_of_bomb(const std::string& value) const {
    return error_of_file(torch_zip(value, {kFourFloats}), {.mib = 200, .seconds = 1});
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
