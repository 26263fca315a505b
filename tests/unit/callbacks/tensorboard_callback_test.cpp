// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/tensorboard_callback.h"

#include "fixtures/temp_folder.h"
#include "host/model/builder.h"
#include "host/support/file_ops.h"
#include "host/support/signals.h"
#include "unit/train/boring.h"
#include "unit/train/event_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using test::Event;
using test::Points;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Pair;

// Where a process ends.
struct Part {
  std::int64_t last = 12;       // its last update
  bool killed = false;          // right after that, without a word
  bool makes_up = false;        // begins with the validation of the update that it goes on after
  bool stopped_before = false;  // the validation of its last update
};

// Fails each write while it is full. Counts what is synced, and does not wait for the real disk.
class Disk final : public FileOps {
 public:
  ssize_t write(int fd, const void* bytes, std::size_t size) override {
    if (!full) return FileOps::write(fd, bytes, size);
    errno = ENOSPC;
    return -1;
  }
  int fsync(int /*fd*/) override {
    ++syncs;
    return 0;
  }

  bool full = false;
  int syncs = 0;
};

// Runs of 12 updates: a log line at each second one, a validation at each fourth one, as the
// trainer and the logging callback would have them.
class TensorBoardCallbackTest : public ::testing::Test {
 protected:
  TensorBoardCallbackTest() {
    note_stop_signals();
    torch::manual_seed(3);
    model_ = make_boring_model(registry_);
    state_.model = model_.get();
    optimizer_ = build_optimizer(
        registry_, *model_,
        Config(Value::Table{{"type", "sgd"}, {"params", Value::Table{{"lr", 0.1}}}}));
  }

  [[nodiscard]] std::unique_ptr<TensorBoardCallback> make_callback() {
    TensorBoardOptions options;
    options.histogram_interval = histogram_interval_;
    options.seconds = [this] { return seconds_ += 1; };
    return std::make_unique<TensorBoardCallback>(folder_, hparams_, *optimizer_, options);
  }

  void validate(TensorBoardCallback& callback) {
    callback.write(state_.progress, "val",
                   {{"val/accuracy", 0.01 * static_cast<double>(state_.progress.update)}});
  }

  void update(TensorBoardCallback& callback) {
    for (const auto& parameter : model_->parameters()) {
      parameter.mutable_grad() = at::full_like(parameter, 0.25);
    }
    callback.on_step_start(state_);
    state_.progress.update += 1;
    const std::int64_t update = state_.progress.update;
    callback.on_update_end(state_, SampleList(), ModelOutput());
    if (update % 2 == 0) {
      callback.write(state_.progress, "train",
                     {{"train/total_loss", 1.0 / static_cast<double>(update)}, {"lr", 0.1}});
    }
  }

  // A process that goes on after `first`.
  void run(std::int64_t first, const Part& part = {}) {
    const std::unique_ptr<TensorBoardCallback> callback = make_callback();
    state_.progress.update = first;
    callback->on_train_start(state_);
    if (part.makes_up) validate(*callback);
    while (state_.progress.update < part.last) {
      update(*callback);
      const bool cut_short = part.stopped_before && state_.progress.update == part.last;
      if (state_.progress.update % 4 == 0 && !cut_short) validate(*callback);
    }
    if (part.killed) return;
    callback->on_train_end(state_);
    if (part.last == 12) callback->write({0, 8, 0, 0}, "val", {{"val/accuracy", 0.5}});
    callback->teardown(state_);
  }

  [[nodiscard]] std::map<std::string, Points> scalars() const { return test::scalars_in(folder_); }
  // The status of the last session_end_info; 0 without one.
  [[nodiscard]] int session_status() const {
    int status = 0;
    for (const Event& event : test::events_in(folder_)) {
      const auto found = event.hparams.find("_hparams_/session_end_info");
      if (found == event.hparams.end()) continue;
      const test::Fields end = test::fields_of(test::field(test::fields_of(found->second), 4));
      status = test::number_in<std::int32_t>(test::field(end, 1));
    }
    return status;
  }

  Disk disk_;
  ScopedFileOps scope_{disk_};
  fixtures::TempFolder temp_;
  fs::path folder_ = temp_ / "tensorboard";
  Registry registry_ = builtin_registry();
  std::shared_ptr<BoringModel> model_;
  std::unique_ptr<Optimizer> optimizer_;
  Value::Table hparams_ = {{"optimizer.params.lr", 0.1}};
  TrainerState state_;
  std::int64_t histogram_interval_ = 0;
  double seconds_ = 1760000000;
};

TEST_F(TensorBoardCallbackTest, EachNumberOfALineIsAScalarUnderItsKey) {
  run(0);
  const auto points = scalars();
  EXPECT_THAT(points, ElementsAre(Key("final/val/accuracy"), Key("lr"), Key("train/total_loss"),
                                  Key("val/accuracy")));
  EXPECT_THAT(points.at("lr"), ElementsAre(Pair(2, 0.1F), Pair(4, 0.1F), Pair(6, 0.1F),
                                           Pair(8, 0.1F), Pair(10, 0.1F), Pair(12, 0.1F)));
  EXPECT_THAT(points.at("val/accuracy"),
              ElementsAre(Pair(4, 0.04F), Pair(8, 0.08F), Pair(12, 0.12F)));
}

// The evaluation after training is of the best weights, here of update 8.
TEST_F(TensorBoardCallbackTest, EvaluationAfterTrainingStandsApartFromTheValidations) {
  run(0);
  EXPECT_THAT(scalars().at("final/val/accuracy"), ElementsAre(Pair(8, 0.5F)));
}

TEST_F(TensorBoardCallbackTest, TimeOfAnEventIsTheOneThatIsGiven) {
  run(0, {.last = 2});
  std::vector<double> times;
  for (const Event& event : test::events_in(folder_)) times.push_back(event.time - 1760000000);
  // File version, start and hparams when training starts, the line of update 2, the end.
  EXPECT_THAT(times, ElementsAre(1, 1, 1, 2, 3));
}

TEST_F(TensorBoardCallbackTest, EachGroupOfTheOptimizerHasItsRate) {
  const auto parameters = model_->parameters();
  std::vector<ParameterGroup> groups(2);
  groups[0] = {{"a"}, {parameters[0]}};
  groups[1] = {{"b"}, {parameters[1]}};
  class TwoRates final : public Optimizer {
   public:
    explicit TwoRates(std::vector<ParameterGroup> groups)
        : Optimizer(std::move(groups), {0.1, 0.5}) {}
    void step() override {}
    [[nodiscard]] std::map<std::string, at::Tensor> state_dict() const override { return {}; }
    void load_state_dict(const std::map<std::string, at::Tensor>&) override {}
  };
  optimizer_ = std::make_unique<TwoRates>(std::move(groups));
  optimizer_->set_lr_factor(0.5);
  run(0, {.last = 4});
  EXPECT_THAT(scalars().at("lr/group_0"), ElementsAre(Pair(2, 0.05F), Pair(4, 0.05F)));
  EXPECT_THAT(scalars().at("lr/group_1"), ElementsAre(Pair(2, 0.25F), Pair(4, 0.25F)));
}

TEST_F(TensorBoardCallbackTest, KilledAtAnyUpdateAndResumedFromAnyBeforeHasThePointsOfOneRun) {
  run(0);
  const auto straight = scalars();
  for (std::int64_t killed = 1; killed < 12; ++killed) {
    for (std::int64_t saved = 1; saved <= killed; ++saved) {
      fs::remove_all(folder_);
      run(0, {.last = killed, .killed = true});
      run(saved, {.last = killed, .killed = true});  // not even a checkpoint further
      run(saved);
      ASSERT_EQ(scalars(), straight) << "killed after " << killed << ", resumed after " << saved;
    }
  }
}

TEST_F(TensorBoardCallbackTest, RunThatHasEndedAndIsMadeLongerLosesOnlyWhatWasFinal) {
  run(0);
  run(12);
  EXPECT_THAT(scalars().at("final/val/accuracy"), ElementsAre(Pair(8, 0.5F)));
  EXPECT_EQ(scalars().at("val/accuracy").size(), 3U);
}

// Stopped in the validation of update 8, which the resumed run makes up for; that is killed before
// it saves, so that the next one makes up for it again.
TEST_F(TensorBoardCallbackTest, ValidationThatIsMadeUpForTwiceIsThereOnce) {
  run(0, {.last = 8, .stopped_before = true});
  EXPECT_THAT(scalars().at("val/accuracy"), ElementsAre(Pair(4, 0.04F)));
  run(8, {.last = 8, .killed = true, .makes_up = true});
  run(8, {.makes_up = true});
  EXPECT_THAT(scalars().at("val/accuracy"),
              ElementsAre(Pair(4, 0.04F), Pair(8, 0.08F), Pair(12, 0.12F)));
}

// A TensorBoard that is watching has read points that are gone from the file by now. It takes the
// second start that it sees for a restart.
TEST_F(TensorBoardCallbackTest, ResumedRunTellsAWatchingTensorBoardToForget) {
  run(0, {.last = 7, .killed = true});
  run(4, {.last = 7, .killed = true});
  const std::vector<fs::path> files = test::event_files(folder_);
  ASSERT_EQ(files.size(), 2U);
  const std::int64_t steps[] = {1, 5};
  for (int i = 0; i < 2; ++i) {
    const std::vector<Event> events = test::events_of(files[i]);
    EXPECT_EQ(events[0].file_version, "brain.Event:2");
    EXPECT_EQ(events[1].session_status, 1);  // SessionLog::START
    EXPECT_EQ(events[1].step, steps[i]);
  }
}

TEST_F(TensorBoardCallbackTest, HparamsAreThereOnce) {
  run(0, {.last = 7, .killed = true});
  hparams_["training.max_updates"] = 12;
  run(4);
  int starts = 0;
  for (const Event& event : test::events_in(folder_)) {
    starts += event.hparams.contains("_hparams_/session_start_info") ? 1 : 0;
  }
  EXPECT_EQ(starts, 1);
}

TEST_F(TensorBoardCallbackTest, RunThatBeginsAgainHasItsOwnHparamsAlone) {
  run(0, {.last = 7, .killed = true});
  hparams_ = {{"other", 1}};
  run(0);
  const std::vector<Event> events = test::events_in(folder_);
  EXPECT_THAT(events[2].hparams.at("_hparams_/session_start_info"), HasSubstr("other"));
  EXPECT_EQ(scalars().at("lr").size(), 6U);
}

TEST_F(TensorBoardCallbackTest, SessionEndsAsTheRunDid) {
  run(0);
  EXPECT_EQ(session_status(), 1);  // STATUS_SUCCESS

  run(0, {.last = 4, .killed = true});
  EXPECT_EQ(session_status(), 0);

  const auto failing = make_callback();
  failing->on_train_start(state_);
  failing->on_exception(state_, "no more");
  failing->teardown(state_);
  EXPECT_EQ(session_status(), 2);  // STATUS_FAILURE

  std::raise(SIGINT);
  run(4, {.last = 6});
  EXPECT_EQ(session_status(), 0);  // it is to go on
}

TEST_F(TensorBoardCallbackTest, HistogramsOfWeightsAndGradientsComeAtTheirInterval) {
  histogram_interval_ = 3;
  run(0, {.last = 7});
  std::map<std::string, std::vector<std::int64_t>> steps;
  for (const Event& event : test::events_in(folder_)) {
    for (const auto& [tag, fields] : event.histograms) steps[tag].push_back(event.step);
  }
  const auto both = ElementsAre(3, 6);
  EXPECT_THAT(
      steps, ElementsAre(Pair("gradients/first.bias", both), Pair("gradients/first.weight", both),
                         Pair("gradients/second.bias", both), Pair("gradients/second.weight", both),
                         Pair("weights/first.bias", both), Pair("weights/first.weight", both),
                         Pair("weights/second.bias", both), Pair("weights/second.weight", both)));
}

TEST_F(TensorBoardCallbackTest, HistogramsAreOfTheNumbersThatThereAre) {
  histogram_interval_ = 1;
  run(0, {.last = 1});
  std::map<std::string, double> sums;
  for (const Event& event : test::events_in(folder_)) {
    for (const auto& [tag, fields] : event.histograms) {
      sums[tag] = test::number_in<double>(test::field(fields, 4));
    }
  }
  EXPECT_EQ(sums.at("gradients/second.bias"), 0.75);  // 3 times 0.25
  const at::Tensor weights = model_->named_parameters()["second.weight"];
  EXPECT_DOUBLE_EQ(sums.at("weights/second.weight"), weights.sum(at::kDouble).item<double>());
}

TEST_F(TensorBoardCallbackTest, FullDiskIsOneWarningAndTheRunGoesOn) {
  const auto callback = make_callback();
  callback->on_train_start(state_);
  disk_.full = true;
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 6; ++i) update(*callback);
  disk_.full = false;
  for (int i = 0; i < 2; ++i) update(*callback);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("warning: [tensorboard] cannot write " + folder_.string()));
  EXPECT_THAT(log, HasSubstr("No space left on device; free some space there, or choose another "
                             "folder; points are missing in the event files, metrics.jsonl has "
                             "them\n"));
  EXPECT_EQ(log.find("warning"), log.rfind("warning"));
  EXPECT_THAT(scalars().at("lr"), ElementsAre(Pair(8, 0.1F)));
}

TEST_F(TensorBoardCallbackTest, FolderThatCannotBeMadeIsOneWarning) {
  temp_.write("tensorboard", "a file in its place");
  ::testing::internal::CaptureStderr();
  run(0);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("warning: [tensorboard] "));
  EXPECT_EQ(log.find("warning"), log.rfind("warning"));
  EXPECT_EQ(temp_.read("tensorboard"), "a file in its place");
}

TEST_F(TensorBoardCallbackTest, SyncBringsTheFileToTheDisk) {
  const auto callback = make_callback();
  callback->sync();  // before training there is nothing
  callback->on_train_start(state_);
  const int before = disk_.syncs;
  callback->sync();
  EXPECT_EQ(disk_.syncs, before + 1);
}

TEST(FlattenHparamsTest, TablesBecomeDottedKeysAndFoldersAreLeftOut) {
  const Value::Table config = {
      {"model", "boring"},
      {"env", Value::Table{{"data_dir", "/data"}}},
      {"plugins", Value::Table{{"path", Value::Array{"/plugins"}}}},
      {"checkpoint", Value::Table{{"resume", true}}},
      {"training", Value::Table{{"batch_size", 8},
                                {"max_epochs", Value()},
                                {"lr_steps", Value::Array{1, 2}},
                                {"ema", Value::Table{{"enabled", false}}}}}};
  EXPECT_EQ(Value(flatten_hparams(config)), Value(Value::Table{{"model", "boring"},
                                                               {"training.batch_size", 8},
                                                               {"training.ema.enabled", false},
                                                               {"training.lr_steps", "[1, 2]"}}));
}

}  // namespace
}  // namespace pergola::host
