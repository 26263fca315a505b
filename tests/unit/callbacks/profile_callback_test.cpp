// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/profile_callback.h"

#include "fixtures/temp_folder.h"
#include "host/data/loader.h"
#include "host/model/builder.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "unit/callbacks/captured_log.h"
#include "unit/train/boring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A training of six updates, in two epochs.
class ProfileCallbackTest : public ::testing::Test {
 protected:
  void train(const ProfileConfig& config, const std::string& file = "trace.json") const {
    const Registry registry = builtin_registry();
    const std::shared_ptr<BoringModel> model = make_boring_model(registry);
    const BoringDataset data(12);
    LoaderOptions loader_options;
    loader_options.dataset_name = "boring";
    loader_options.dataset_type = "train";
    loader_options.batch_size = 4;
    DataLoader loader(data, loader_options);
    const Config options(Value::Table{{"type", "adamw"}, {"params", Value::Table{{"lr", 0.1}}}});
    const std::unique_ptr<Optimizer> optimizer = build_optimizer(registry, *model, options);
    TrainerOptions trainer_options;
    trainer_options.max_updates = 6;
    Trainer trainer(TrainerParts{*model, *optimizer, nullptr, loader, {}, c10::Device(c10::kCPU)},
                    trainer_options, TrainerState());
    trainer.add_callback("profile",
                         std::make_unique<ProfileCallback>(trainer, config, folder_ / file));
    static_cast<void>(trainer.run());
  }
  static ProfileConfig profile(std::int64_t start_update, std::int64_t updates) {
    return {.enabled = true, .start_update = start_update, .updates = updates};
  }
  // How often each name is in the trace as a range or an operator.
  [[nodiscard]] std::map<std::string, int> names() const {
    const Value trace = from_json(read_file(folder_ / "trace.json", ErrorKind::kData), "the trace");
    std::map<std::string, int> counts;
    for (const Value& event : trace.find("traceEvents")->as_array()) {
      const Value* const category = event.find("cat");
      if (category == nullptr) continue;
      const std::string& kind = category->as_string();
      if (kind == "user_annotation" || kind == "cpu_op") ++counts[event.find("name")->as_string()];
    }
    return counts;
  }

  fixtures::TempFolder folder_;
};

TEST_F(ProfileCallbackTest, TheTraceHasTheUpdatesTheirPhasesAndOperators) {
  train(profile(2, 3));
  std::map<std::string, int> counts = names();
  EXPECT_EQ(counts["update 2"], 0);
  for (const char* update : {"update 3", "update 4", "update 5"}) EXPECT_EQ(counts[update], 1);
  EXPECT_EQ(counts["update 6"], 0);
  for (const char* phase : {"data", "forward", "backward"}) EXPECT_EQ(counts[phase], 3) << phase;
  EXPECT_GE(counts["optimizer"], 3);
  // Two linear layers, in three updates.
  EXPECT_EQ(counts["aten::addmm"], 6);
}

TEST_F(ProfileCallbackTest, RangesDoNotCross) {
  train(profile(1, 2));
  const Value trace = from_json(read_file(folder_ / "trace.json", ErrorKind::kData), "the trace");
  std::vector<std::pair<double, double>> ranges;
  for (const Value& event : trace.find("traceEvents")->as_array()) {
    const Value* const category = event.find("cat");
    if (category == nullptr || category->as_string() != "user_annotation") continue;
    const double begin = event.find("ts")->as_float();
    ranges.emplace_back(begin, begin + event.find("dur")->as_float());
  }
  ASSERT_FALSE(ranges.empty());
  for (const auto& [begin, end] : ranges) {
    for (const auto& [other_begin, other_end] : ranges) {
      EXPECT_FALSE(begin < other_begin && other_begin < end && end < other_end);
    }
  }
}

// A run that ends before: what there is.
TEST_F(ProfileCallbackTest, TheTraceEndsWithTheTraining) {
  train(profile(5, 100));
  const std::map<std::string, int> counts = names();
  EXPECT_TRUE(counts.contains("update 6"));
  EXPECT_FALSE(counts.contains("update 5"));
}

TEST_F(ProfileCallbackTest, ATrainingThatIsTooShortIsAWarning) {
  CapturedLog log;
  train(profile(6, 1));
  EXPECT_THAT(log.warnings(),
              ElementsAre(HasSubstr("the training ended after update 6, and the profile begins "
                                    "after update 6: there is none")));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(ProfileCallbackTest, WhatCannotBeWrittenIsAnErrorBeforeTheFirstUpdate) {
  const auto refusal = [&](const ProfileConfig& config, const std::string& file) -> std::string {
    try {
      train(config, file);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal(profile(0, 1), "none/trace.json"), HasSubstr("none/trace.json"));
  std::filesystem::create_directory(folder_ / "trace.json");
  EXPECT_THAT(refusal(profile(0, 1), "trace.json"), HasSubstr("trace.json: it is a folder"));
  ProfileConfig ranges = profile(0, 1);
  ranges.output = ProfileOutput::kNvtx;
  EXPECT_THAT(refusal(ranges, "other.json"), HasSubstr("the device is the CPU"));
}

}  // namespace
}  // namespace pergola::host
