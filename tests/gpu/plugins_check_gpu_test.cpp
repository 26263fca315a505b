// SPDX-License-Identifier: BSD-3-Clause
// What `pergola plugins check` examines on a GPU alone.
#include "host/device/cuda.h"
#include "integration/run_test.h"

#include <sstream>

namespace pergola::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class PluginsCheckOnGpu : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }
  [[nodiscard]] Result check(const std::string& file, const Words& more = {}) const {
    Words words = {"plugins",          "check",  file,        "--only", "cuda", "--only",
                   "synchronisations", "--only", "cuda_graph"};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }
  // The files of the plugins that come along, by name.
  [[nodiscard]] std::map<std::string, std::string> own_plugins() const {
    std::map<std::string, std::string> files;
    std::istringstream lines(pergola({"plugins", "list"}).out);
    for (std::string line; std::getline(lines, line);) {
      files[line.substr(0, line.find(' '))] = line.substr(line.rfind('\t') + 1);
    }
    return files;
  }
};

TEST_F(PluginsCheckOnGpu, PluginsThatComeAlongAgreeWithTheCpu) {
  const auto files = own_plugins();
  for (const char* name : {"pythia", "cnn_lstm", "visual_bert", "mmbt", "fusions"}) {
    const Result result = check(files.at(name));
    expect_success(result);
    EXPECT_THAT(result.out, AllOf(HasSubstr("  passed   cuda "), Not(HasSubstr("skipped  "))))
        << name;
  }
}

TEST_F(PluginsCheckOnGpu, AModelThatNeverWaitsCanBeRecorded) {
  const Result result = check(fixture_plugin("good").string());
  expect_success(result);
  EXPECT_THAT(
      result.out,
      AllOf(HasSubstr("  passed   synchronisations  none\n"),
            HasSubstr(
                "  passed   cuda_graph        forward, losses and backward, in eval(), can be")));
}

TEST_F(PluginsCheckOnGpu, AModelThatReadsANumberWaitsOnceAStepAndCannotBeRecorded) {
  const Result result = check(fixture_plugin("waits_for_device").string());
  expect_success(result);
  EXPECT_THAT(result.out, AllOf(HasSubstr("1 a step: 1 × aten::_local_scalar_dense\n"),
                                HasSubstr("  passed   cuda_graph        cannot be recorded")));
}

}  // namespace
}  // namespace pergola::test
