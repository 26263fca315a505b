// SPDX-License-Identifier: BSD-3-Clause
// What `pergola plugins check` examines on a GPU alone.
#include "host/device/cuda.h"
#include "integration/run_test.h"

#include <map>
#include <sstream>
#include <string>
#include <vector>

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

// A plugin that comes along, and what its models need beyond their manifest's `check`.
struct PluginCase {
  const char* name;
  Words needs = {};
  Words packed = {};  // what makes its attention packed; nothing where it has none
};
void PrintTo(const PluginCase& one, std::ostream* stream) { *stream << one.name; }

const std::vector<PluginCase>& plugin_cases() {
  static const std::vector<PluginCase> kCases = {
      {"cnn_lstm"},
      {"fusions",
       {},
       {"model_config.concat_bert.attention=packed", "model_config.late_fusion.attention=packed"}},
      {"mmbt", {}, {"model_config.mmbt.attention=packed"}},
      {"pythia"},
      {"torchscript",
       {"model_config.torchscript.file=" PERGOLA_GOLDEN_DIR "/torchscript_vqa.pt",
        "model_config.torchscript.num_final_outputs=6"}},
      {"visual_bert", {}, {"model_config.visual_bert.attention=packed"}},
  };
  return kCases;
}

class PluginOnGpu : public PluginsCheckOnGpu, public ::testing::WithParamInterface<PluginCase> {
 protected:
  // Scores, loss and gradients of each of its models, in eval(), are those of the CPU.
  void expect_agreement(const Words& more) const {
    const Result result = check(own_plugins().at(GetParam().name), more);
    expect_success(result);
    EXPECT_THAT(result.out, AllOf(HasSubstr("  passed   cuda "), Not(HasSubstr("skipped  "))));
  }
};
INSTANTIATE_TEST_SUITE_P(Plugins, PluginOnGpu, ::testing::ValuesIn(plugin_cases()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(PluginOnGpu, AgreesWithTheCpu) { expect_agreement(GetParam().needs); }

TEST_P(PluginOnGpu, AgreesWithTheCpuWithoutPadding) {
  if (GetParam().packed.empty()) GTEST_SKIP() << "no model of the plugin has packed attention";
  expect_agreement(GetParam().packed);
}

TEST_F(PluginsCheckOnGpu, AllPluginsThatComeAlongAreExamined) {
  std::vector<std::string> examined;
  for (const PluginCase& one : plugin_cases()) examined.emplace_back(one.name);
  std::vector<std::string> found;
  for (const auto& [name, file] : own_plugins()) found.push_back(name);
  EXPECT_EQ(found, examined) << "plugin_cases() of this file has to have each plugin, by name";
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
