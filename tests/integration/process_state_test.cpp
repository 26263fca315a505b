// SPDX-License-Identifier: BSD-3-Clause
// plugins.check_state: plugins that change what the whole process shares.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

using ::testing::HasSubstr;

struct Change {
  const char* what;
  const char* told;
};
void PrintTo(const Change& change, std::ostream* stream) { *stream << change.what; }

class ProcessStateTest : public RunTest {
 protected:
  [[nodiscard]] Result train_changing(const std::string& what, const Words& more) const {
    write("changes_state.toml", common_config() + "model = \"changes_state\"\nplugins.path = [\"" +
                                    fixture_folder("changes_state").string() + "\"]\n");
    // A whole path: what the host writes after the change of the folder stays in the test's.
    Words words = {"train",
                   "changes_state.toml",
                   "--run-dir",
                   path("run").string(),
                   "run_type=train",
                   "training.max_updates=3",
                   "model_config.changes_state.what=" + what};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }
};

class ChangeOf : public ProcessStateTest, public ::testing::WithParamInterface<Change> {};
INSTANTIATE_TEST_SUITE_P(
    All, ChangeOf,
    ::testing::Values(Change{"dtype", "the default dtype from Float to Double"},
                      Change{"threads", "the number of threads from 1 to 2"},
                      Change{"grad_mode", "the grad mode from on to off"},
                      Change{"seed", "the seed of the CPU's generator from "},
                      Change{"locale", "the locale from C to C.UTF-8"},
                      Change{"rounding", "the floating-point mode from rounding 0"},
                      Change{"signal", "what SIGUSR1 does from a handler at "},
                      Change{"folder", "the working directory from "}),
    [](const auto& param) { return std::string(param.param.what); });

TEST_P(ChangeOf, IsToldWithPluginModelHookAndUpdate) {
  const Result result = train_changing(GetParam().what, {"plugins.check_state=true"});
  expect_error(
      result, kPlugin,
      {"the plugin changed ", GetParam().told,
       ", which the whole process shares; put it back before the hook returns (in "
       "training_step() of model 'changes_state', plugin changes_state 0.1.0, at update 2"});
}

TEST_F(ProcessStateTest, OneThatChangesNothingTrains) {
  expect_success(train_changing("", {"plugins.check_state=true", "run_type=train_val_test"}));
}

// Each look costs system calls.
TEST_F(ProcessStateTest, NobodyLooksUnlessAsked) { expect_success(train_changing("signal", {})); }

}  // namespace
}  // namespace pergola::test
