// SPDX-License-Identifier: BSD-3-Clause
// For tests in which the power goes before each operation: it looks at the disk in each state that
// it may be in then, and knows which checkpoint was promised.
#pragma once

#include "fault/faulty_ops.h"
#include "fault/power_cut_disk.h"
#include "host/checkpoint/store.h"
#include "host/support/log.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace pergola::host::fault_test {

namespace fs = std::filesystem;
using checkpoint_test::content_at;
using checkpoint_test::memory_or_disk;
using checkpoint_test::same_content;
using checkpoint_test::TempFolder;

class PowerCutTest : public testing::Test {
 protected:
  // Each checkpoint that is passed over would be a warning in the log.
  void SetUp() override { init_log(LogLevel::kError); }
  void TearDown() override { init_log(LogLevel::kInfo); }

  // Lets `check` look at all that a cut may leave, now and before each operation to come.
  void watch(PowerCutDisk& disk, std::function<void(const fs::path& run)> check) {
    check_ = std::move(check);
    disk.on_moment = [this, &disk] { look(disk); };
    look(disk);
  }
  void look(const PowerCutDisk& disk) {
    FileOps system;
    const ScopedFileOps scope(system);  // what fails for the run does not for who looks at it
    for (const Outcome& outcome : disk.outcomes()) {
      if (HasFailure() || !seen_.emplace(promised_, saving_, stage_, outcome).second) continue;
      materialise(outcome, after_.path());
      SCOPED_TRACE(describe(outcome));
      check_(after_.path());
    }
  }

  void save_last(const CheckpointStore& store, std::int64_t update) {
    saving_.push_back(update);
    store.save_last(content_at(update));
    saving_.clear();
    promised_ = update;
  }

  // A run anew, which has saved that much.
  void begin(std::optional<std::int64_t> promised) {
    promised_ = promised;
    saving_.clear();
  }
  void watch_run(PowerCutDisk& disk) {
    watch(disk, [this](const fs::path& left) { static_cast<void>(check_run(left)); });
  }
  // Has the nth operation of `save` fail; false when it has none.
  static bool save_with_fault(FileOps& disk, Lasting lasting, int nth,
                              const std::function<void()>& save) {
    FaultyOps faulty(disk, Fault::kBadDisk, lasting, nth);
    const ScopedFileOps scope(faulty);
    try {
      save();
    } catch (const Error&) {  // injected_faults_test looks at these
    }
    return faulty.reached();
  }

  // The newest checkpoint that was promised, or one that was being saved, is there; and no name
  // leads to a part of one. Gives back its update, or nothing when there is none and need not be.
  [[nodiscard]] std::optional<std::int64_t> check_run(const fs::path& run) const {
    if (fs::exists(run / "checkpoints")) {
      for (const auto& name : checkpoint_test::names_in(run / "checkpoints")) {
        if (name.front() == '.') continue;
        EXPECT_EQ(verify_checkpoint(run / "checkpoints" / name).first_problem(), "");
      }
    }
    const auto point = CheckpointStore(run).find_resume();
    if (!point) {
      EXPECT_FALSE(promised_.has_value());
      return std::nullopt;
    }
    const std::int64_t update = point->content.state.find("progress.update")->as_integer();
    EXPECT_TRUE(same_content(point->content, content_at(update)));
    std::vector<std::int64_t> possible = saving_;
    if (promised_) possible.push_back(*promised_);
    EXPECT_THAT(possible, testing::Contains(update));
    return update;
  }

  TempFolder run_{memory_or_disk()};
  TempFolder after_{memory_or_disk()};
  std::optional<std::int64_t> promised_;  // the update of the last save that returned
  std::vector<std::int64_t> saving_;      // of those since then, which did not
  int stage_ = 0;                         // counts what else is promised
  std::size_t states() const { return seen_.size(); }

 private:
  static std::string describe(const Outcome& outcome) {
    std::ostringstream out;
    out << "after a cut that leaves";
    for (const auto& [name, content] : outcome) out << ' ' << name << ':' << content.size();
    return out.str();
  }

  std::function<void(const fs::path& run)> check_;
  // What was looked at, and what had to be there.
  std::set<std::tuple<std::optional<std::int64_t>, std::vector<std::int64_t>, int, Outcome>> seen_;
};

}  // namespace pergola::host::fault_test
