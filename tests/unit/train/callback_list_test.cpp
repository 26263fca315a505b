// SPDX-License-Identifier: BSD-3-Clause
// Every hook of the training loop, in its order, and what a callback's state and errors become.
#include "host/train/callback_list.h"

#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Calls = std::vector<std::string>;

// Writes "name:hook" for every hook that the loop calls; throws in the hook `throws_in`.
class Witness final : public Callback {
 public:
  Witness(std::string name, Calls& calls, std::string throws_in = "")
      : name_(std::move(name)), calls_(calls), throws_in_(std::move(throws_in)) {}

  void on_train_start(TrainerState&) override { called("train_start"); }
  void on_update_start(TrainerState&) override { called("update_start"); }
  void on_batch_start(TrainerState&, const SampleList&) override { called("batch_start"); }
  void on_batch_end(TrainerState&, const SampleList&, const ModelOutput&) override {
    called("batch_end");
  }
  void on_step_start(TrainerState&) override { called("step_start"); }
  void on_update_end(TrainerState&, const SampleList&, const ModelOutput&) override {
    called("update_end");
  }
  void on_validation_start(TrainerState&) override { called("validation_start"); }
  void on_validation_end(TrainerState&, const Numbers&) override { called("validation_end"); }
  void on_update_complete(TrainerState&) override { called("update_complete"); }
  void on_train_end(TrainerState&) override { called("train_end"); }
  void on_exception(TrainerState&, const std::string& message) noexcept override {
    calls_.push_back(name_ + ":exception " + message);
  }
  void teardown(TrainerState&) noexcept override { calls_.push_back(name_ + ":teardown"); }

  [[nodiscard]] Value state_dict() const override { return Value::Table{{"count", count}}; }
  void load_state_dict(const Value& state) override { count = state.find("count")->as_integer(); }
  [[nodiscard]] std::map<std::string, at::Tensor> tensors() const override {
    return {{"memory", memory}};
  }
  void load_tensors(const std::map<std::string, at::Tensor>& tensors) override {
    memory = tensors.at("memory").clone();
  }

  std::int64_t count = 0;
  at::Tensor memory = at::zeros({2});

 private:
  void called(const std::string& hook) {
    calls_.push_back(name_ + ":" + hook);
    if (hook == throws_in_) throw std::runtime_error("broken in " + hook);
  }

  std::string name_;
  Calls& calls_;
  std::string throws_in_;
};

class CallbackListTest : public TrainerTest {
 protected:
  static std::string error_of(TestRun& run) {
    try {
      static_cast<void>(run.trainer->run());
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
  Calls calls_;
};

// Batches of 4, 4, 2 in groups of two: update 1 has two batches, update 2 one and ends the epoch.
TEST_F(CallbackListTest, HooksOfAnEpochComeInTheDocumentedOrder) {
  TestRun run(options_for(2, /*update_frequency=*/2));
  run.trainer->add_callback("a", std::make_unique<Witness>("a", calls_));
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_THAT(calls_,
              ElementsAre("a:train_start", "a:update_start", "a:batch_start", "a:batch_end",
                          "a:batch_start", "a:batch_end", "a:step_start", "a:update_end",
                          "a:update_complete", "a:update_start", "a:batch_start", "a:batch_end",
                          "a:step_start", "a:update_end", "a:validation_start", "a:validation_end",
                          "a:update_complete", "a:train_end"));
}

TEST_F(CallbackListTest, EachHookIsCalledForAllBeforeTheNextOne) {
  TestRun run(options_for(1));
  run.trainer->add_callback("a", std::make_unique<Witness>("a", calls_));
  run.trainer->add_callback("b", std::make_unique<Witness>("b", calls_));
  static_cast<void>(run.trainer->run());
  EXPECT_THAT(Calls(calls_.begin(), calls_.begin() + 4),
              ElementsAre("a:train_start", "b:train_start", "a:update_start", "b:update_start"));
}

TEST_F(CallbackListTest, AnErrorNamesHookAndCallbackAndReachesAllOfThem) {
  for (const char* hook :
       {"train_start", "update_start", "batch_start", "batch_end", "step_start", "update_end",
        "validation_start", "validation_end", "update_complete", "train_end"}) {
    calls_.clear();
    TestRun run(options_for(1));
    run.trainer->add_callback("first", std::make_unique<Witness>("first", calls_));
    run.trainer->add_callback("bad", std::make_unique<Witness>("bad", calls_, hook));
    run.trainer->add_callback("last", std::make_unique<Witness>("last", calls_));
    const std::string error = error_of(run);
    const bool is_before_updates = hook == std::string("train_start");
    EXPECT_EQ(error, concat("on_", hook, " of callback 'bad' failed",
                            is_before_updates ? "" : " at update 1", ": broken in ", hook,
                            "; this is a matter for the plugin's author"));
    EXPECT_THAT(Calls(calls_.end() - 3, calls_.end()),
                ElementsAre("first:exception " + error, "bad:exception " + error,
                            "last:exception " + error));
  }
}

TEST_F(CallbackListTest, TeardownReachesAllOfThem) {
  TestRun run(options_for(1));
  run.trainer->add_callback("a", std::make_unique<Witness>("a", calls_));
  run.trainer->add_callback("b", std::make_unique<Witness>("b", calls_));
  run.trainer->tear_down();
  EXPECT_THAT(calls_, ElementsAre("a:teardown", "b:teardown"));
}

TEST_F(CallbackListTest, StateAndTensorsComeBackByKey) {
  CheckpointContent content;
  {
    CallbackList list;
    auto one = std::make_unique<Witness>("one", calls_);
    one->count = 7;
    one->memory = at::full({2}, 3);
    list.add("one", std::move(one));
    list.add("two", std::make_unique<Witness>("two", calls_));
    list.save(content);
  }
  CallbackList list;
  auto two = std::make_unique<Witness>("two", calls_);
  auto one = std::make_unique<Witness>("one", calls_);
  auto fresh = std::make_unique<Witness>("fresh", calls_);
  fresh->count = 5;
  Witness& restored = *one;
  Witness& untouched = *fresh;
  list.add("two", std::move(two));
  list.add("fresh", std::move(fresh));
  list.add("one", std::move(one));
  list.restore(content);
  EXPECT_EQ(restored.count, 7);
  EXPECT_TRUE(restored.memory.equal(at::full({2}, 3)));
  EXPECT_EQ(untouched.count, 5);
}

TEST_F(CallbackListTest, ACheckpointWithoutCallbacksIsRefused) {
  CallbackList list;
  EXPECT_THROW(list.restore(CheckpointContent()), Error);
}

}  // namespace
}  // namespace pergola::host
