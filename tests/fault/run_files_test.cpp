// SPDX-License-Identifier: BSD-3-Clause
// The files of a run beside its checkpoints, when the power goes or the disk refuses: they are
// those of the checkpoint that is there, and a run that is overwritten is never lost.
#include "fault/power_cut_fixture.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "host/train/metrics_log.h"
#include "host/train/run_folder.h"

namespace pergola::host::fault_test {
namespace {

using checkpoint_test::read_bytes;
using testing::ElementsAreArray;
using testing::HasSubstr;

constexpr std::int64_t kOld = 3;  // the updates of an old run, and of the one that overwrites it
constexpr std::int64_t kNew = 1;
constexpr const char* kPredictions = "predictions/set_test.json";

std::vector<std::int64_t> updates_in(const fs::path& metrics) {
  std::vector<std::int64_t> updates;
  std::istringstream in(read_bytes(metrics));
  for (std::string line; std::getline(in, line);) {
    updates.push_back(from_json(line, "test").find("update")->as_integer());
  }
  return updates;
}

void write_lines(MetricsLog& metrics, std::int64_t first, std::int64_t last) {
  for (std::int64_t update = first; update <= last; ++update) {
    metrics.write({0, update, 0, 0}, "train", {{"lr", 0.5}});
  }
}

// 1, 2, ..., last.
std::vector<std::int64_t> up_to(std::int64_t last) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 1; i <= last; ++i) numbers.push_back(i);
  return numbers;
}

class RunFilesTest : public PowerCutTest {
 protected:
  // A run without config.toml, so that the new one's has to go when the old one comes back.
  void make_old_run(const fs::path& run) {
    const RunFolder folder(run, ExistingRun::kRefuse);
    MetricsLog metrics(folder.metrics(), 0);
    write_lines(metrics, 1, kOld);
    write_file_atomic(folder.summary(), "old");
    make_directories(run / "predictions");
    write_file_atomic(run / kPredictions, "old");
    CheckpointStore(run).save_last(content_at(kOld));
    promised_ = kOld;
  }
  // What a new run writes before it saves.
  static void overwrite(const RunFolder& folder) {
    folder.set_aside();
    write_file_atomic(folder.config(), "new");
    write_file_atomic(folder.summary(), "new");
    MetricsLog metrics(folder.metrics(), 0);
    write_lines(metrics, 1, kNew);
    metrics.sync();
  }
  // All files are of the run whose checkpoint is there.
  void check_files(const fs::path& run) const {
    const RunFolder left(run, ExistingRun::kResume);  // puts back what is due
    const auto update = check_run(run);
    ASSERT_TRUE(update.has_value());
    const bool is_old = *update == kOld;
    EXPECT_EQ(read_bytes(left.config()), is_old ? "" : "new");
    EXPECT_EQ(read_bytes(left.summary()), is_old ? "old" : "new");
    EXPECT_EQ(fs::exists(run / kPredictions), is_old);
    EXPECT_THAT(updates_in(left.metrics()), ElementsAreArray(up_to(*update)));
    EXPECT_FALSE(fs::exists(left.replaced()));
  }

  // Calls attempt(run) with each operation failing, one after the other, until it has none left
  // that could, and then check(run). Errors name the path; any other exception is a failure.
  void sweep(const std::function<void(const fs::path& run)>& prepare,
             const std::function<void(const fs::path& run)>& attempt,
             const std::function<void(const fs::path& run)>& check) const {
    for (const Fault fault : {Fault::kNoSpace, Fault::kBadDisk, Fault::kShortWrite}) {
      for (const Lasting lasting : {Lasting::kOnce, Lasting::kForGood}) {
        bool reached = true;
        for (int nth = 1; reached && !HasFailure(); ++nth) {
          SCOPED_TRACE(concat("operation ", nth, ", fault ", static_cast<int>(fault)));
          const TempFolder run(memory_or_disk());
          prepare(run.path());
          reached = attempt_with(fault, lasting, nth, run.path(), attempt);
          check(run.path());
        }
      }
    }
  }

 private:
  static bool attempt_with(Fault fault, Lasting lasting, int nth, const fs::path& run,
                           const std::function<void(const fs::path& run)>& attempt) {
    FileOps system;
    FaultyOps faulty(system, fault, lasting, nth);
    const ScopedFileOps scope(faulty);
    try {
      attempt(run);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(run.string()));
      EXPECT_NE(fault, Fault::kShortWrite);
    }
    return faulty.reached();
  }
};

TEST_F(RunFilesTest, ARunThatIsResumedAfterACutHasAllLinesOfItsCheckpointAndStillOwnsItsFolder) {
  PowerCutDisk disk(run_.path());
  const ScopedFileOps scope(disk);
  const RunFolder folder(run_.path(), ExistingRun::kRefuse);
  MetricsLog metrics(folder.metrics(), 0);
  const CheckpointStore store(run_.path());
  watch(disk, [&](const fs::path& run) {
    const RunFolder left(run, ExistingRun::kOverwrite);  // refuses what is not marked as a run's
    const auto update = check_run(run);
    if (!update) return;
    MetricsLog(left.metrics(), *update).write({0, *update + 1, 0, 0}, "train", {});
    EXPECT_THAT(updates_in(left.metrics()), ElementsAreArray(up_to(*update + 1)));
  });
  for (const std::int64_t update : {3, 6}) {
    write_lines(metrics, update - 2, update);
    metrics.sync();
    save_last(store, update);
  }
  write_lines(metrics, 7, 8);
  look(disk);
  EXPECT_GT(states(), 50U);
}

TEST_F(RunFilesTest, NoCutTakesAMetricsFileFromARunThatHadLostIt) {
  make_old_run(run_.path());
  fs::remove(run_ / "metrics.jsonl");
  PowerCutDisk disk(run_.path());
  const ScopedFileOps scope(disk);
  MetricsLog metrics(run_ / "metrics.jsonl", kOld);
  write_lines(metrics, kOld + 1, kOld + 1);
  metrics.sync();
  for (const Outcome& outcome : disk.outcomes()) EXPECT_TRUE(outcome.contains("metrics.jsonl"));
}

TEST_F(RunFilesTest, ARunThatIsOverwrittenIsThereWholeAfterACutUntilTheNewOneIs) {
  make_old_run(run_.path());
  PowerCutDisk disk(run_.path());
  const ScopedFileOps scope(disk);
  watch(disk, [&](const fs::path& run) { check_files(run); });
  const RunFolder folder(run_.path(), ExistingRun::kOverwrite);
  overwrite(folder);
  save_last(CheckpointStore(run_.path()), kNew);
  folder.remove_replaced();
  look(disk);
  EXPECT_GT(states(), 50U);
}

TEST_F(RunFilesTest, ARunThatIsPutBackIsThereWholeAfterACut) {
  make_old_run(run_.path());
  PowerCutDisk disk(run_.path());
  const ScopedFileOps scope(disk);
  const RunFolder folder(run_.path(), ExistingRun::kOverwrite);
  overwrite(folder);
  watch(disk, [&](const fs::path& run) { check_files(run); });
  EXPECT_TRUE(folder.put_back());
  look(disk);
  EXPECT_GT(states(), 10U);
}

TEST_F(RunFilesTest, AnOverwriteThatFailsAnywhereLeavesTheOldRun) {
  sweep([this](const fs::path& run) { make_old_run(run); },
        [](const fs::path& run) {
          const RunFolder folder(run, ExistingRun::kOverwrite);
          overwrite(folder);
          folder.put_back();
        },
        [this](const fs::path& run) { check_files(run); });
}

TEST_F(RunFilesTest, AMetricsLogThatFailsAnywhereHasWholeLinesAndAllThatCount) {
  sweep(
      [](const fs::path& run) {
        MetricsLog metrics(run / "metrics.jsonl", 0);
        write_lines(metrics, 1, 5);
      },
      [](const fs::path& run) {
        MetricsLog metrics(run / "metrics.jsonl", 3);
        write_lines(metrics, 4, 4);
        metrics.sync();
      },
      [](const fs::path& run) {
        static_cast<void>(MetricsLog(run / "metrics.jsonl", 3));
        EXPECT_THAT(updates_in(run / "metrics.jsonl"), ElementsAreArray(up_to(3)));
      });
}

TEST_F(RunFilesTest, AMetricsLogWhoseDiskIsFullEndsWithAWholeLine) {
  MetricsLog metrics(run_ / "metrics.jsonl", 0);
  write_lines(metrics, 1, 1);
  FileOps system;
  FaultyOps faulty(system, Fault::kNoSpace, Lasting::kOnce, /*nth=*/1);
  {
    const ScopedFileOps scope(faulty);
    EXPECT_THROW(write_lines(metrics, 2, 2), Error);  // after a half of its bytes
  }
  write_lines(metrics, 3, 3);
  EXPECT_THAT(updates_in(run_ / "metrics.jsonl"), testing::ElementsAre(1, 3));
}

TEST_F(RunFilesTest, AFileIsReplacedWholeOrNotAtAll) {
  sweep([](const fs::path& run) { write_file_atomic(run / "f", "old"); },
        [](const fs::path& run) { write_file_atomic(run / "f", "new"); },
        [](const fs::path& run) {
          EXPECT_THAT(read_bytes(run / "f"), testing::AnyOf("old", "new"));
          write_file_atomic(run / "f", "newer");
          EXPECT_THAT(checkpoint_test::names_in(run), testing::ElementsAre("f"));
        });
}

}  // namespace
}  // namespace pergola::host::fault_test
