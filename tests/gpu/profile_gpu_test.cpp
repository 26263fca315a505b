// SPDX-License-Identifier: BSD-3-Clause
// What a trace of a training on a GPU says of a model's layers.
#include "host/device/cuda.h"
#include "integration/run_test.h"

#include <algorithm>

namespace pergola::test {
namespace {

class ProfileGpuTest : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }

  struct Range {
    double begin;
    double end;
  };
  // The events of a category, by name or all.
  static std::vector<Range> ranges(const Json& trace, const std::string& category,
                                   const std::string& name = "") {
    std::vector<Range> found;
    for (const Json& event : trace.at("traceEvents")) {
      if (event.value("cat", "") != category) continue;
      if (!name.empty() && event.value("name", "") != name) continue;
      const double begin = event.at("ts");
      found.push_back({begin, begin + event.at("dur").get<double>()});
    }
    return found;
  }
};

// Two layers in two updates, each with its attention and its products inside of "forward". What a
// replay of a graph does has no ranges, so nothing is recorded here.
TEST_F(ProfileGpuTest, EachLayerOfABertIsARangeOfTheForwardPass) {
  expect_success(train({"--device", "cuda", "run_type=train", "training.cuda_graphs=false",
                        "training.profile.enabled=true", "training.profile.start_update=4",
                        "training.profile.updates=2"},
                       "visual_bert"));
  const Json trace = json("run/trace.json");
  const std::vector<Range> layers = ranges(trace, "user_annotation", "bert layer");
  const std::vector<Range> passes = ranges(trace, "user_annotation", "forward");
  EXPECT_EQ(layers.size(), 4U);
  EXPECT_EQ(passes.size(), 2U);
  const auto is_in = [](const Range& inner, const std::vector<Range>& all) {
    return std::any_of(all.begin(), all.end(), [&](const Range& outer) {
      return outer.begin <= inner.begin && inner.end <= outer.end;
    });
  };
  for (const Range& layer : layers) EXPECT_TRUE(is_in(layer, passes)) << layer.begin;
  const std::vector<Range> operators = ranges(trace, "cpu_op");
  for (const Range& layer : layers) {
    EXPECT_GE(std::count_if(operators.begin(), operators.end(),
                            [&](const Range& each) { return is_in(each, {layer}); }),
              5);
  }
  EXPECT_FALSE(ranges(trace, "kernel").empty());
}

}  // namespace
}  // namespace pergola::test
