// SPDX-License-Identifier: BSD-3-Clause
// Runs on a GPU whose updates and predictions are recorded as CUDA graphs, or are not.
#pragma once

#include "host/device/cuda.h"
#include "integration/run_test.h"

#include <string>

namespace pergola::test {

class GraphsGpuTest : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
    for (const char* name : {"goes_wrong", "waits_for_device"}) {
      write(std::string(name) + ".toml", common_config() + "model = \"" + name +
                                             "\"\nplugins.path = [\"" +
                                             fixture_folder(name).string() + "\"]\n");
    }
    // Enough samples of one shape to be recorded.
    Json rows = Json::array();
    for (int i = 0; i < 30; ++i) rows.push_back({"what color is the shape?", "red", i % 6});
    write("data/easy_vqa/test/questions.json", rows.dump());
  }
  // What the run wrote to the log. Enough updates for each length of a batch's texts.
  [[nodiscard]] std::string train_on_gpu(const std::string& model, const std::string& graphs,
                                         const std::string& folder, Words more = {}) const {
    Words words = {"train",
                   model + ".toml",
                   "--run-dir",
                   folder,
                   "--device",
                   "cuda",
                   "run_type=train",
                   "training.deterministic=true",
                   "training.max_updates=40",
                   "training.cuda_graphs=" + graphs};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = pergola(words);
    expect_success(result);
    return result.err;
  }
  void expect_same_run(const std::string& one, const std::string& other) const {
    EXPECT_EQ(metrics(one), metrics(other));
    EXPECT_TRUE(same_bytes(weights(one), weights(other)));
  }
};

}  // namespace pergola::test
