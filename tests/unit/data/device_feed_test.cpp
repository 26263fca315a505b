// SPDX-License-Identifier: BSD-3-Clause
// What a DeviceFeed hands out and when, with the CPU as its device; tests/gpu has the copies.
#include "host/data/device_feed.h"

#include "host/data/loader.h"
#include "unit/callbacks/captured_log.h"
#include "unit/data/counting_dataset.h"
#include "unit/data/fixture.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using test::CountingDataset;
using test::error_of;
using testing::ElementsAre;

// Gives batches of one number: 100 * epoch + number. All are ready when it says so.
class Numbers final : public BatchSource {
 public:
  explicit Numbers(std::vector<std::string>& calls) : calls_(calls) {}

  [[nodiscard]] std::int64_t num_batches() const noexcept override { return 4; }
  void start_epoch(std::int64_t epoch, std::int64_t first_batch) override {
    epoch_ = epoch;
    next_ = first_batch;
  }
  [[nodiscard]] std::optional<SampleList> next() override {
    calls_.push_back("next " + std::to_string(next_));
    if (next_ >= num_batches()) return std::nullopt;
    const std::int64_t number = next_++;
    last_ = names_[number];
    if (number == bad) throw Error(ErrorKind::kData, "batch ", number, " is bad");
    SampleList batch;
    batch.add_field("x", at::full({1}, 100 * epoch_ + number));
    return batch;
  }
  [[nodiscard]] bool is_ready() override { return ready && next_ < num_batches(); }
  [[nodiscard]] Hook last_hook() const override { return Hook{last_}; }

  bool ready = true;
  std::int64_t bad = -1;

 private:
  static constexpr std::string_view names_[] = {"zero", "one", "two", "three"};
  std::vector<std::string>& calls_;
  std::int64_t epoch_ = 0;
  std::int64_t next_ = 4;
  std::string_view last_;
};

class DeviceFeedTest : public testing::Test {
 protected:
  [[nodiscard]] std::vector<std::int64_t> drain() {
    std::vector<std::int64_t> numbers;
    while (const auto batch = feed_.next()) numbers.push_back(number(*batch));
    return numbers;
  }
  [[nodiscard]] static std::int64_t number(const SampleList& batch) {
    return batch.tensor("x")[0].item<std::int64_t>();
  }

  std::vector<std::string> calls_;
  Numbers source_{calls_};
  DeviceFeed feed_{source_, c10::kCPU};
};

TEST_F(DeviceFeedTest, GivesTheBatchesOfTheOtherSource) {
  EXPECT_FALSE(feed_.next().has_value());  // no epoch has begun
  EXPECT_EQ(feed_.num_batches(), 4);
  for (const bool ready : {true, false}) {
    source_.ready = ready;
    feed_.start_epoch(2);
    EXPECT_THAT(drain(), ElementsAre(200, 201, 202, 203));
    EXPECT_FALSE(feed_.next().has_value());
  }
}

TEST_F(DeviceFeedTest, BeginsAnEpochAnywhereWhateverIsAhead) {
  feed_.start_epoch(0);
  EXPECT_EQ(number(*feed_.next()), 0);  // and has the next one ahead
  feed_.start_epoch(1, /*first_batch=*/2);
  EXPECT_THAT(drain(), ElementsAre(102, 103));
  feed_.start_epoch(1, /*first_batch=*/4);
  EXPECT_THAT(drain(), ElementsAre());
}

TEST_F(DeviceFeedTest, FetchesTheNextBatchWhereItNeedsNotBeWaitedFor) {
  feed_.start_epoch(0);
  (void)feed_.next();
  EXPECT_THAT(calls_, ElementsAre("next 0", "next 1"));
  source_.ready = false;
  calls_.clear();
  (void)feed_.next();
  EXPECT_THAT(calls_, ElementsAre());
  (void)feed_.next();
  EXPECT_THAT(calls_, ElementsAre("next 2"));
}

TEST_F(DeviceFeedTest, AnErrorComesInItsTurnWithTheHookThatFailed) {
  source_.bad = 1;
  feed_.start_epoch(0);
  EXPECT_EQ(number(*feed_.next()), 0);
  EXPECT_THAT(calls_, ElementsAre("next 0", "next 1"));  // it has happened
  EXPECT_EQ(feed_.last_hook().name, "zero");
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { (void)feed_.next(); }), "batch 1 is bad");
  EXPECT_EQ(feed_.last_hook().name, "one");
  EXPECT_EQ(number(*feed_.next()), 2);
  EXPECT_EQ(feed_.last_hook().name, "two");
}

// There are no streams for copies to "meta".
TEST_F(DeviceFeedTest, ABatchWhoseCopyFailsComesAsItIs) {
  CapturedLog log;
  DeviceFeed feed(source_, c10::kMeta);
  feed.start_epoch(0);
  for (const std::int64_t expected : {0, 1, 2, 3}) {
    const std::optional<SampleList> batch = feed.next();
    ASSERT_TRUE(batch.has_value());
    EXPECT_TRUE(batch->tensor("x").is_cpu());
    EXPECT_EQ(number(*batch), expected);
  }
  EXPECT_FALSE(feed.next().has_value());
  ASSERT_EQ(log.lines().size(), 1U);  // not once a batch
  EXPECT_THAT(log.lines().front(), testing::HasSubstr("a batch was not copied to meta ahead: "));
}

TEST_F(DeviceFeedTest, OfALoaderWithWorkersGivesTheSame) {
  const CountingDataset dataset(50);
  for (const std::int64_t workers : {0, 3}) {
    DataLoader plain(dataset, test::counting_options(4, workers));
    DeviceFeed feed(std::make_unique<DataLoader>(dataset, test::counting_options(4, workers)),
                    c10::kCPU);
    for (const std::int64_t epoch : {0, 1}) {
      plain.start_epoch(epoch, 2);
      feed.start_epoch(epoch, 2);
      const auto expected = test::drain(plain);
      const auto found = test::drain(feed);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_TRUE(at::equal(found[i].tensor("index"), expected[i].tensor("index"))) << i;
      }
    }
  }
}

}  // namespace
}  // namespace pergola::host
