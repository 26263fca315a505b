// SPDX-License-Identifier: BSD-3-Clause
// A run's event files say what its metrics.jsonl says, also after a kill, and TensorBoard itself
// reads them.
#include "integration/run_test.h"
#include "unit/train/event_decoder.h"

#include <algorithm>
#include <csignal>
#include <sstream>

namespace pergola::test {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const Words kTensorBoard = {"training.tensorboard=true", "training.histogram_interval=6"};

using Scalars = std::map<std::string, Points>;

class TensorBoardTest : public RunTest {
 protected:
  static Words with(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  [[nodiscard]] std::filesystem::path events(const std::string& run = "run") const {
    return path(run + "/tensorboard");
  }

  // What the lines of metrics.jsonl say, by the tags that event files have for it.
  [[nodiscard]] Scalars lines(const std::string& run = "run") const {
    Scalars points;
    std::istringstream text_of_all(text(run + "/metrics.jsonl"));
    for (std::string line; std::getline(text_of_all, line);) {
      Json row = Json::parse(line);
      const std::string prefix = row.contains("checkpoint") ? "final/" : "";
      const auto update = row.at("update").get<std::int64_t>();
      const Json system = row.value("system", Json::object());
      for (const char* key : {"time", "epoch", "update", "system"}) row.erase(key);
      for (const auto& [key, value] : system.items()) row["system/" + key] = value;
      for (const auto& [key, value] : row.items()) {
        if (value.is_number()) points[prefix + key].emplace_back(update, value.get<float>());
      }
    }
    return points;
  }

  // What TensorBoard shows of `run`; null, with the reason, where there is no TensorBoard.
  [[nodiscard]] Json shown_by_tensorboard(std::string& reason) const {
    Launch find;
    find.command = {"/bin/sh", "-c", PERGOLA_FIND_PYTHON_PACKAGES};
    Result found = Process(find).wait(std::chrono::seconds(150));
    reason = found.err;
    if (found.exit_code != 0) return nullptr;
    if (found.out.ends_with('\n')) found.out.pop_back();
    Launch read;
    read.command = {"/usr/bin/env", "python3", PERGOLA_INTEGRATION_DIR "/read_events.py",
                    path("run").string()};
    if (!found.out.empty()) read.environment["PYTHONPATH"] = found.out;
    const Result result = run(read);
    expect_success(result);
    return Json::parse(result.out);
  }
};

TEST_F(TensorBoardTest, EventFilesHaveEachNumberOfMetricsJsonl) {
  expect_success(train(kTensorBoard));
  EXPECT_EQ(scalars_in(events()), lines());
  EXPECT_THAT(lines(), Contains(Pair("final/test/total_loss", SizeIs(1))));
  std::map<std::string, std::vector<std::int64_t>> histograms;
  for (const Event& event : events_in(events())) {
    for (const auto& [tag, fields] : event.histograms) histograms[tag].push_back(event.step);
  }
  ASSERT_FALSE(histograms.empty());
  for (const auto& [tag, steps] : histograms) {
    EXPECT_TRUE(tag.starts_with("weights/") || tag.starts_with("gradients/")) << tag;
    EXPECT_EQ(steps, (std::vector<std::int64_t>{6, 12})) << tag;
  }
}

TEST_F(TensorBoardTest, RunThatIsKilledTwiceAndResumedHasEachPointOnce) {
  const Words words =
      with(kTensorBoard,
           {"training.max_updates=120", "run_type=train_val", "training.evaluation_interval=40",
            "training.checkpoint_interval=10", "checkpoint.max_to_keep=0"});
  for (const int lines_before : {25, 70}) {
    Process process(train_launch(with(words, {"--resume"}), "cnn_lstm"));
    ASSERT_TRUE(wait_until(process, [&] {
      const std::string rows = text("run/metrics.jsonl");
      return std::count(rows.begin(), rows.end(), '\n') >= lines_before;
    }));
    process.send(SIGKILL);
    EXPECT_EQ(process.wait().killed_by, SIGKILL);
  }
  expect_success(train(with(words, {"--resume"}), "cnn_lstm"));
  const Scalars points = scalars_in(events());
  EXPECT_EQ(points, lines());
  ASSERT_THAT(points.at("lr"), SizeIs(120));
  for (std::size_t i = 0; i < 120; ++i) {
    EXPECT_EQ(points.at("lr")[i].first, static_cast<std::int64_t>(i + 1));
  }
  EXPECT_THAT(event_files(events()), SizeIs(3));
}

TEST_F(TensorBoardTest, RunThatIsOverwrittenLeavesNoPointAndAskingForNoneWritesNone) {
  expect_success(train(with(kTensorBoard, {"training.max_updates=2"})));
  ASSERT_THAT(event_files(events()), SizeIs(1));
  expect_success(train({"--overwrite", "training.max_updates=2"}));
  EXPECT_THAT(event_files(events()), IsEmpty());
}

TEST_F(TensorBoardTest, TensorBoardItselfShowsThem) {
  expect_success(train(with(kTensorBoard, {"training.max_updates=7", "run_type=train"})));
  expect_success(train(with(kTensorBoard, {"--resume"})));
  std::string reason;
  const Json shown = shown_by_tensorboard(reason);
  if (shown.is_null()) GTEST_SKIP() << reason;

  const Scalars expected = lines();
  EXPECT_EQ(shown.at("scalars").size(), expected.size());
  for (const auto& [tag, points] : expected) {
    EXPECT_EQ(shown.at("scalars").value(tag, Points()), points) << tag;
  }
  std::size_t histograms = 0;
  for (const Event& event : events_in(events())) {
    for (const auto& [tag, fields] : event.histograms) {
      double counted = 0;
      for (const Json& point : shown.at("histograms").at(tag)) {
        if (point[0] != event.step) continue;
        for (const Json& bucket : point[1]) counted += bucket[2].get<double>();
      }
      EXPECT_EQ(counted, number_in<double>(field(fields, 3))) << tag;
      ++histograms;
    }
  }
  EXPECT_GT(histograms, 0U);
  EXPECT_EQ(shown.at("status"), "STATUS_SUCCESS");
  EXPECT_EQ(shown.at("hparams").at("model"), "boring");
  EXPECT_EQ(shown.at("hparams").at("training.batch_size"), 8);
  EXPECT_EQ(shown.at("hparams").at("optimizer.params.lr"), 0.01);
  EXPECT_FALSE(shown.at("hparams").contains("env.data_dir"));
  for (const char* tag : {"val/easy_vqa/accuracy", "final/test/easy_vqa/accuracy"}) {
    EXPECT_EQ(shown.at("metrics").at(tag).get<float>(), expected.at(tag).back().second) << tag;
  }
}

}  // namespace
}  // namespace pergola::test
