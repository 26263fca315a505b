// SPDX-License-Identifier: BSD-3-Clause
// Which checkpoints of a run stay: every n-th one, and the best ones in their order.
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/store.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>

#include <vector>

namespace pergola::host::checkpoint_test {
namespace {

using testing::ElementsAre;
using testing::IsSupersetOf;

constexpr std::int64_t kFromLast = CheckpointStore::kFromLast;

class RetentionTest : public testing::Test {
 protected:
  void save_updates(Retention retention, std::initializer_list<std::int64_t> numbers) {
    const CheckpointStore store(temp_.path(), retention);
    for (const std::int64_t number : numbers) {
      store.save_last(content_at(number));
      store.save_update(number);
    }
  }
  [[nodiscard]] std::set<std::string> names() const { return names_in(temp_ / "checkpoints"); }

  TempFolder temp_{memory_or_disk()};
};

TEST_F(RetentionTest, EachMultipleStaysAndDoesNotCount) {
  save_updates({.max_to_keep = 2, .keep_every = 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(names(), ElementsAre("last", "update_00000004", "update_00000006", "update_00000007",
                                   "update_00000008"));
}

TEST_F(RetentionTest, MultiplesAloneStayWhereNoOthersAreKept) {
  save_updates({.max_to_keep = 0, .keep_every = 4}, {3, 4, 5});
  EXPECT_THAT(names(), ElementsAre("last", "update_00000004"));
  save_updates({.max_to_keep = -1, .keep_every = 4}, {5, 6});
  save_updates({.max_to_keep = 0, .keep_every = 4}, {8});
  EXPECT_THAT(names(), ElementsAre("last", "update_00000004", "update_00000008"));
}

// best holds update 1, best_2 update 2, and so on; `last` holds update 9.
class ArrangeBestTest : public RetentionTest {
 protected:
  void have_best(std::int64_t count) {
    std::vector<std::int64_t> sources;
    for (std::int64_t rank = 1; rank <= count; ++rank) {
      store_.save_last(content_at(rank));
      sources.push_back(kFromLast);
      store_.arrange_best(sources);
      sources.back() = rank;
    }
    store_.save_last(content_at(9));
  }
  [[nodiscard]] std::vector<std::int64_t> best() const {
    std::vector<std::int64_t> updates;
    for (std::int64_t rank = 1; rank <= store_.lowest_best(); ++rank) {
      updates.push_back(update_of(store_.best(rank)));
    }
    return updates;
  }
  [[nodiscard]] static std::int64_t update_of(const fs::path& folder) {
    return load_checkpoint(folder).state.find("progress.update")->as_integer();
  }

  CheckpointStore store_{temp_.path()};
};

TEST_F(ArrangeBestTest, NewOnesPushOthersDownAndOut) {
  have_best(3);
  store_.arrange_best({1, kFromLast, 2});
  EXPECT_THAT(best(), ElementsAre(1, 9, 2));
  store_.arrange_best({kFromLast, 1});
  EXPECT_THAT(best(), ElementsAre(9, 1));
  EXPECT_THAT(names(), ElementsAre("best", "best_2", "last"));
}

TEST_F(ArrangeBestTest, GapsAreClosed) {
  have_best(5);
  fs::remove_all(store_.best(1));
  fs::remove_all(store_.best(3));
  store_.arrange_best({2, 4, kFromLast, 5});
  EXPECT_THAT(best(), ElementsAre(2, 4, 9, 5));
}

TEST_F(ArrangeBestTest, OtherNamesAreNoRanks) {
  have_best(2);
  for (const char* name : {"best_1", "best_02", "best_x", "best_"}) {
    fs::create_directories(temp_ / "checkpoints" / name);
  }
  store_.save_best();
  EXPECT_THAT(names(), ElementsAre("best", "best_", "best_02", "best_1", "best_x", "last"));
}

// A crash at any step finds whole checkpoints alone, and among them `best` and all that are to
// stay.
TEST_F(ArrangeBestTest, NothingThatStaysIsEverGone) {
  const std::vector<std::vector<std::int64_t>> cases = {{kFromLast, 1, 2, 3},
                                                        {1, kFromLast, 2, 3},
                                                        {1, 2, 3, kFromLast},
                                                        {2, 4, kFromLast},
                                                        {2, 3, 4},
                                                        {kFromLast, 3, 4},
                                                        {kFromLast},
                                                        {1, kFromLast, 3, 4}};
  for (const auto& sources : cases) {
    fs::remove_all(temp_ / "checkpoints");
    have_best(4);
    std::vector<std::int64_t> staying{9};
    for (const std::int64_t source : sources) {
      if (source != kFromLast) staying.push_back(source);
    }
    int steps = 0;
    SaveHooks hooks;
    hooks.on_step = [&](std::string_view step) {
      SCOPED_TRACE(step);
      ++steps;
      ASSERT_TRUE(fs::exists(store_.best()));
      std::vector<std::int64_t> found;
      for (const std::string& name : names()) {
        if (name.front() != '.') found.push_back(update_of(temp_ / "checkpoints" / name));
      }
      EXPECT_THAT(found, IsSupersetOf(staying));
    };
    CheckpointStore(temp_.path(), Retention{}, hooks).arrange_best(sources);
    EXPECT_GT(steps, 0);
    std::vector<std::int64_t> expected;
    for (const std::int64_t source : sources) expected.push_back(source == kFromLast ? 9 : source);
    EXPECT_EQ(best(), expected);
  }
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
