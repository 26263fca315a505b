// SPDX-License-Identifier: BSD-3-Clause
// A training whose batches do not fit in the memory that LibTorch may take
// (training.on_out_of_memory = "halve"), with shortages that its allocator finds itself.
#include "host/device/cuda.h"
#include "host/device/device.h"
#include "host/device/memory.h"
#include "integration/run_test.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ShortageGpuTest : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }

  // Activations are nearly all that it needs. Of 8 samples of 14 words and 16 regions, a tensor
  // within a layer is W = 8 * 30 * 196608 * 4 bytes = 180 MiB. The forward pass keeps two of each
  // of two layers, and the backward pass has one more: 5 W. Without dropout, which draws other
  // numbers for parts of a batch.
  [[nodiscard]] Result train_wide(const std::string& folder, std::optional<std::int64_t> mib,
                                  const Words& more = {}) const {
    Words words = {"train",
                   "visual_bert.toml",
                   "--run-dir",
                   folder,
                   "--device",
                   "cuda",
                   "run_type=train",
                   "training.max_updates=6",
                   "training.on_out_of_memory=halve",
                   "optimizer={type=\"sgd\", params={lr=0.01}}",
                   "model_config.visual_bert.intermediate_size=196608",
                   "model_config.visual_bert.hidden_dropout_prob=0",
                   "model_config.visual_bert.attention_probs_dropout_prob=0"};
    words.insert(words.end(), more.begin(), more.end());
    if (mib) words.push_back("training.cuda_allocator=\"" + limit_of(*mib) + "\"");
    return pergola(words);
  }
  [[nodiscard]] std::vector<double> losses(const std::string& folder) const {
    std::vector<double> all;
    for (const Json& row : metrics(folder)) {
      if (row.at("split") == "train") all.push_back(row.at("train/total_loss"));
    }
    return all;
  }

 private:
  // A share of the GPU's memory is all that the process's allocator takes of it.
  static std::string limit_of(std::int64_t mib) {
    static const c10::Device kGpu = host::select_device("cuda");
    const auto total = static_cast<double>(host::device_room(kGpu)->total);
    const double share = static_cast<double>(mib) * (1 << 20) / total;
    return "per_process_memory_fraction:" + std::to_string(share);
  }
};

// 5 W are 900 MiB, and half of it is 450 MiB. Weights, gradients and cuBLAS need another 130 to
// 200.
constexpr std::int64_t kFitsHalf = 840;

// Batch norm sees the halves, as it sees micro-batches of their size.
TEST_F(ShortageGpuTest, ATrainingThatFitsHalvedGoesOnAsThatOfMicroBatches) {
  const Words micro_batches = {"training.batch_size=4", "training.update_frequency=2"};
  for (const char* graphs : {"false", "auto"}) {
    Words more = {"--overwrite", std::string("training.cuda_graphs=") + graphs};
    const Result halved = train_wide("halved", kFitsHalf, more);
    expect_success(halved);
    EXPECT_THAT(halved.err, HasSubstr("ran out of memory at update 1: "));
    EXPECT_THAT(halved.err, HasSubstr("training goes on, with 4 samples at a time"));
    EXPECT_THAT(halved.err, Not(HasSubstr("with 2 samples at a time")));
    EXPECT_EQ(json("halved/checkpoints/last/state.json").at("samples_at_a_time"), 4);
    more.insert(more.end(), micro_batches.begin(), micro_batches.end());
    const Result whole = train_wide("whole", std::nullopt, more);
    expect_success(whole);
    EXPECT_THAT(whole.err, Not(HasSubstr("ran out of memory")));
    const std::vector<double> expected = losses("whole");
    const std::vector<double> found = losses("halved");
    ASSERT_EQ(expected.size(), 6U);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 5e-4) << i;
  }
}

// Weights, cuBLAS and gaps have 78 MiB, and a tensor within a layer of one sample is W / 8 = 23
// MiB: two at once are all that a prediction has, as before the first update; an update keeps four.
TEST_F(ShortageGpuTest, WhereNotOneSampleFitsTheRunEndsAndSaysWhy) {
  const Result result = train_wide("run", /*mib=*/160);
  EXPECT_EQ(result.exit_code, kUnexpected) << result;
  EXPECT_THAT(result.err, HasSubstr("training goes on, with 1 sample at a time"));
  const std::size_t begin = result.err.find("error: ");
  ASSERT_NE(begin, std::string::npos) << result;
  EXPECT_THAT(result.err.substr(begin), HasSubstr("ran out of memory at update 1: "));
}

}  // namespace
}  // namespace pergola::test
