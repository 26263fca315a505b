// SPDX-License-Identifier: BSD-3-Clause
// Recorded updates of the models of all plugins that graphs_gpu_test.cpp leaves out, with padding
// and without, beside the same runs without recordings: losses and weights, bit for bit.
#include "gpu/graphs_fixture.h"

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A model and its attention; "" for one that has none.
struct PluginForm {
  const char* model;
  const char* attention;
};
void PrintTo(const PluginForm& form, std::ostream* stream) {
  *stream << form.model << ' ' << form.attention;
}

class GraphsOfPlugins : public GraphsGpuTest, public ::testing::WithParamInterface<PluginForm> {
 protected:
  // With dropout. Heads of 8, which attention over sequences of different lengths takes.
  void expect_same_with_and_without(const std::string& precision) const {
    const auto [model, attention] = GetParam();
    Words more = {"training.precision=" + precision};
    if (*attention != '\0') {
      const std::string key = std::string("model_config.") + model;
      more.push_back(key + ".attention=" + attention);
      more.push_back(key + ".hidden_size=16");
    }
    const std::string without = "without_" + precision;
    const std::string with = "with_" + precision;
    EXPECT_THAT(train_on_gpu(model, "false", without, more), Not(HasSubstr("[graph]")));
    EXPECT_THAT(train_on_gpu(model, "true", with, more),
                HasSubstr(std::string("[graph] updates of model '") + model + "' are replayed"));
    expect_same_run(without, with);
  }
};

constexpr PluginForm kForms[] = {
    {"concat_bow", ""},      {"concat_bert", "sdpa"},   {"concat_bert", "packed"},
    {"late_fusion", "sdpa"}, {"late_fusion", "packed"}, {"mmbt", "sdpa"},
    {"mmbt", "packed"},      {"visual_bert", "packed"}, {"visual_bert", "plain"},
};
INSTANTIATE_TEST_SUITE_P(Forms, GraphsOfPlugins, ::testing::ValuesIn(kForms), [](const auto& form) {
  const std::string attention = form.param.attention;
  return form.param.model + (attention.empty() ? "" : "_" + attention);
});

// In float32 packed sequences are attended to in their padded form, in bfloat16 as they are.
TEST_P(GraphsOfPlugins, LossesAndWeightsAreThoseOfARunWithout) {
  expect_same_with_and_without("fp32");
  expect_same_with_and_without("bf16");
}

}  // namespace
}  // namespace pergola::test
