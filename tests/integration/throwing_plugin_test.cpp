// SPDX-License-Identifier: BSD-3-Clause
// Plugins that throw in one of their hooks, whichever: exit code 3, and a sentence with the hook,
// whose it is, its plugin, the update and the reason.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

// A run in which one of the classes of `throws_in` throws.
struct Throwing {
  const char* name;
  std::string where;  // `hook` of that class
  std::string part;   // the hook, as the sentence names it
  std::string when = {};
};
void PrintTo(const Throwing& throwing, std::ostream* stream) { *stream << throwing.name; }

// A run with a class of `throws_in` of each kind.
class PluginThatThrows : public RunTest {
 protected:
  PluginThatThrows() {
    write("throws_in.toml", "model = \"throws_in\"\ndataset = \"throws_in\"\nplugins.path = [\"" +
                                fixture_folder("throws_in").string() + R"("]
training.device = "cpu"
training.num_threads = 1
training.num_workers = 0
training.batch_size = 8
training.max_updates = 6
training.lr_scheduler = true
training.evaluation_interval = 4
training.checkpoint_interval = 3
training.log_interval = 1
training.evaluate_metrics = true
training.callbacks = [{ type = "throws_in", params = { hook = "" } }]
optimizer = { type = "throws_in", params = { lr = 0.01 } }
scheduler = { type = "throws_in" }
evaluation = { metrics = [{ type = "throws_in", params = { hook = "" } }], predict = true }
)");
  }
  void expect_refused(const Result& result, const std::string& part,
                      const std::string& when = "") const {
    expect_error(result, kPlugin,
                 {part + " (plugin throws_in 0.1.0) failed" + when +
                  ": the licence server is away; this is a matter for the plugin's author"});
  }
};

TEST_F(PluginThatThrows, NowhereTrainsAndGoesOnWithItsOwnClassesOfEachKind) {
  expect_success(train({}, "throws_in"));
  expect_success(
      pergola({"train", "throws_in.toml", "--run-dir", "parts", "training.max_updates=4"}));
  ASSERT_FALSE(same_bytes(weights("parts"), weights("run")));
  expect_success(pergola({"train", "throws_in.toml", "--run-dir", "parts", "--resume"}));
  EXPECT_TRUE(same_bytes(weights("parts"), weights("run")));
  EXPECT_TRUE(same_bytes("parts/checkpoints/last/trainer.safetensors",
                         "run/checkpoints/last/trainer.safetensors"));
  const Json state = json("parts/checkpoints/last/state.json");
  EXPECT_EQ(state.at("scheduler").at("calls"), 6);
  EXPECT_EQ(state.at("callbacks").at("throws_in").at("calls"), 6);
  EXPECT_EQ(state.at("extras").at("saved"), true);
  const Json numbers = json("parts/summary.json").at("metrics");
  EXPECT_EQ(numbers.at("test/throws_in/throws_in"), 24);  // the samples of the split
}

// The order of architecture.md; without a terminal there is no `progress`.
TEST_F(PluginThatThrows, NowhereHasItsCallbackBeforeThoseOfTheHost) {
  expect_success(train({"training.unfreeze=[{parameters=[\"*.bias\"], after=1}]",
                        "training.tensorboard=true", "training.spike_guard.enabled=true",
                        "training.early_stop.enabled=true", "training.max_updates=2",
                        "optimizer={type=\"sgd\", params={lr=0.1}}", "--log-level", "debug"},
                       "throws_in"));
  std::istringstream log(text("run/log.txt"));
  std::string order;
  for (std::string line; std::getline(log, line);) {
    const std::size_t at = line.find("[run] callback ");
    if (at != std::string::npos) order += line.substr(line.find(": ", at) + 1);
  }
  EXPECT_EQ(order,
            " throws_in unfreeze nan_guard spike_guard logging tensorboard early_stop checkpoint");
}

class PluginThatThrowsIn : public PluginThatThrows,
                           public ::testing::WithParamInterface<Throwing> {};

TEST_P(PluginThatThrowsIn, IsNamedWithTheHookAndItsReason) {
  expect_refused(train({GetParam().where}, "throws_in"), GetParam().part, GetParam().when);
}

std::string of_model(const std::string& hook) { return "model_config.throws_in.hook=" + hook; }
std::string of_dataset(const std::string& hook) { return "dataset_config.throws_in.hook=" + hook; }
std::string of_metric(const std::string& hook) {
  return "evaluation.metrics[0].params.hook=" + hook;
}
std::string of_optimizer(const std::string& hook) { return "optimizer.params.hook=" + hook; }
std::string of_scheduler(const std::string& hook) { return "scheduler.params.hook=" + hook; }
std::string of_callback(const std::string& hook) {
  return "training.callbacks[0].params.hook=" + hook;
}

INSTANTIATE_TEST_SUITE_P(
    Hooks, PluginThatThrowsIn,
    ::testing::Values(
        Throwing{"ModelConstructor", of_model("constructor"),
                 "the constructor of model 'throws_in'"},
        Throwing{"ModelBuild", of_model("build"), "build() of model 'throws_in'"},
        Throwing{"ModelParameters", of_model("optimizer_parameters"),
                 "optimizer_parameters() of model 'throws_in'"},
        Throwing{"ModelTraining", of_model("training_step"), "training_step() of model 'throws_in'",
                 " at update 1"},
        Throwing{"ModelValidation", of_model("validation_step"),
                 "validation_step() of model 'throws_in'", " at batch 0"},
        Throwing{"ModelTest", of_model("test_step"), "test_step() of model 'throws_in'",
                 " at batch 0"},
        Throwing{"ModelSave", of_model("on_save_checkpoint"),
                 "on_save_checkpoint() of model 'throws_in'", " at update 1"},
        Throwing{"ModelKeys", of_model("format_state_key"),
                 "load_state_dict() of model 'throws_in'"},
        Throwing{"ModelLoad", of_model("on_load_checkpoint"),
                 "on_load_checkpoint() of model 'throws_in'"},
        Throwing{"ModelPrediction", of_model("format_for_prediction"),
                 "format_for_prediction() of model 'throws_in'"},
        Throwing{"DatasetConstructor", of_dataset("constructor"),
                 "the constructor of data set 'throws_in' or of its processors"},
        Throwing{"DatasetSize", of_dataset("size"), "size() of data set 'throws_in'"},
        Throwing{"DatasetFacts", of_dataset("facts"), "facts() of data set 'throws_in'"},
        Throwing{"DatasetGet", of_dataset("get"),
                 "get() of data set 'throws_in' (val) or of its processors"},
        Throwing{"DatasetPrediction", of_dataset("format_for_prediction"),
                 "format_for_prediction() of data set 'throws_in'"},
        Throwing{"MetricConstructor", of_metric("constructor"),
                 "the constructor of metric 'throws_in'"},
        Throwing{"MetricReset", of_metric("reset"), "reset() of metric 'throws_in'"},
        Throwing{"MetricUpdate", of_metric("update"), "update() of metric 'throws_in'"},
        Throwing{"MetricCompute", of_metric("compute"), "compute() of metric 'throws_in'"},
        Throwing{"OptimizerConstructor", of_optimizer("constructor"),
                 "the constructor of optimizer 'throws_in'"},
        Throwing{"OptimizerStep", of_optimizer("step"), "step() of optimizer 'throws_in'",
                 " at update 1"},
        Throwing{"OptimizerState", of_optimizer("state_dict"),
                 "state_dict() of optimizer 'throws_in'", " at update 1"},
        Throwing{"SchedulerConstructor", of_scheduler("constructor"),
                 "the constructor of scheduler 'throws_in'"},
        Throwing{"SchedulerFactor", of_scheduler("factor"), "factor() of scheduler 'throws_in'",
                 " at update 1"},
        Throwing{"SchedulerState", of_scheduler("state_dict"),
                 "state_dict() of scheduler 'throws_in'", " at update 1"},
        Throwing{"CallbackConstructor", of_callback("constructor"),
                 "the constructor of callback 'throws_in'"},
        Throwing{"CallbackUpdate", of_callback("on_update_end"),
                 "on_update_end of callback 'throws_in'", " at update 1"},
        Throwing{"CallbackState", of_callback("state_dict"), "state_dict() of callback 'throws_in'",
                 " at update 1"}),
    [](const auto& param) { return std::string(param.param.name); });

class PluginThatThrowsAtResume : public PluginThatThrows,
                                 public ::testing::WithParamInterface<Throwing> {};

TEST_P(PluginThatThrowsAtResume, IsNamedWithTheHookAndItsReason) {
  expect_success(train({}, "throws_in"));
  expect_refused(train({"--resume", GetParam().where}, "throws_in"), GetParam().part);
}

INSTANTIATE_TEST_SUITE_P(Hooks, PluginThatThrowsAtResume,
                         ::testing::Values(Throwing{"Model", of_model("on_load_checkpoint"),
                                                    "on_load_checkpoint() of model 'throws_in'"},
                                           Throwing{"Optimizer", of_optimizer("load_state_dict"),
                                                    "load_state_dict() of optimizer 'throws_in'"},
                                           Throwing{"Scheduler", of_scheduler("load_state_dict"),
                                                    "load_state_dict() of scheduler 'throws_in'"},
                                           Throwing{"Callback", of_callback("load_state_dict"),
                                                    "load_state_dict() of callback 'throws_in'"}),
                         [](const auto& param) { return std::string(param.param.name); });

TEST_F(PluginThatThrows, OnAWorkerThreadIsNamedAllTheSame) {
  expect_refused(train({of_dataset("get"), "training.num_workers=2"}, "throws_in"),
                 "get() of data set 'throws_in' (val) or of its processors");
}

TEST_F(PluginThatThrows, WhoseModelReturnsNoTensorAsALossIsNamed) {
  const Result result = train({of_model("losses")}, "throws_in");
  expect_error(result, kPlugin,
               {"the mean of the losses of model 'throws_in' (plugin throws_in 0.1.0) failed", ": ",
                "undefined"});
}

TEST_F(PluginThatThrows, OrHasNoSamplesToTrainOnIsNamed) {
  expect_error(train({"dataset_config.throws_in.samples=0"}, "throws_in"), kData,
               {"data set 'throws_in' has no samples to train on (its size() is 0)"});
}

}  // namespace
}  // namespace pergola::test
