// SPDX-License-Identifier: BSD-3-Clause
// DeviceFeed on a GPU: what it hands out is what the loader has, however late the device reads it.
#include "gpu/gpu_fixture.h"
#include "host/data/device_feed.h"
#include "host/data/loader.h"
#include "host/device/waiting_operations.h"
#include "pergola/dataset.h"

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::int64_t kSamples = 96;
constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kWidth = 1 << 18;  // 1 MiB a sample, so that copies take their time

// Sample i is full of i, and has i as its index.
class Constants final : public Dataset {
 public:
  explicit Constants(std::int64_t width = kWidth) : width_(width) {}

  [[nodiscard]] std::int64_t size() const override { return kSamples; }
  [[nodiscard]] Sample get(std::int64_t index, Rng& /*rng*/) const override {
    Sample sample;
    sample.set("x", at::full({width_}, static_cast<double>(index), at::kFloat));
    sample.set("index", at::scalar_tensor(index, at::kLong));
    return sample;
  }

 private:
  std::int64_t width_;
};

class GpuDeviceFeedTest : public OnGpu<> {
 protected:
  [[nodiscard]] static LoaderOptions options(std::int64_t workers) {
    LoaderOptions options;
    options.dataset_name = "constants";
    options.batch_size = kBatch;
    options.shuffle = Shuffle::kYes;
    options.num_workers = workers;
    options.seed = 3;
    options.transfer.pin_memory = PinMemory::kYes;
    return options;
  }

  // Work of some milliseconds for the stream that computes.
  void keep_busy() {
    if (!large_.defined()) large_ = at::rand({4096, 4096}, at::TensorOptions(device_));
    for (int i = 0; i < 4; ++i) large_ = large_.mm(large_).clamp_max(1);
  }

  // The sum of the least and the largest number of each sample, computed behind other work when
  // the batch is long given back.
  [[nodiscard]] std::vector<at::Tensor> sums(BatchSource& source) {
    std::vector<at::Tensor> sums;
    while (std::optional<SampleList> batch = source.next()) {
      keep_busy();
      sums.push_back(batch->tensor("x").amin(1) + batch->tensor("x").amax(1));
      batch.reset();
    }
    return sums;
  }

  const Constants dataset_;
  at::Tensor large_;
};

// Stacked tensors are made there; what the model adds is moved there.
TEST_F(GpuDeviceFeedTest, ABatchIsPutTogetherInPageLockedMemory) {
  LoaderOptions wanted = options(/*workers=*/2);
  wanted.transfer.prepare = [](SampleList& batch) {
    EXPECT_TRUE(batch.tensor("x").is_pinned());
    batch.add_field("more", batch.tensor("index") + 1);
  };
  DataLoader loader(dataset_, wanted);
  loader.start_epoch(0);
  const std::optional<SampleList> batch = loader.next();
  EXPECT_TRUE(batch->tensor("x").is_pinned());
  EXPECT_TRUE(batch->tensor("more").is_pinned());
}

TEST_F(GpuDeviceFeedTest, EachBatchIsThatOfTheLoaderInItsOrder) {
  for (const std::int64_t workers : {0, 3}) {
    DataLoader plain(dataset_, options(workers));
    DeviceFeed feed(std::make_unique<DataLoader>(dataset_, options(workers)), device_);
    for (const auto& [epoch, first] : {std::pair{0, 0}, {2, 5}, {1, 0}}) {
      plain.start_epoch(epoch, first);
      feed.start_epoch(epoch, first);
      while (const std::optional<SampleList> expected = plain.next()) {
        const std::optional<SampleList> found = feed.next();
        ASSERT_TRUE(found.has_value());
        EXPECT_EQ(found->tensor("x").device(), device_);
        EXPECT_TRUE(found->tensor("x").is_same(found->to(device_).tensor("x")));
        EXPECT_TRUE(at::equal(found->tensor("x").cpu(), expected->tensor("x")));
        EXPECT_TRUE(at::equal(found->tensor("index").cpu(), expected->tensor("index")));
      }
      EXPECT_FALSE(feed.next().has_value());
    }
  }
}

// Freed memory comes to be a later batch's; not before the device has read it.
TEST_F(GpuDeviceFeedTest, ABatchThatIsReadLateIsStillThere) {
  DataLoader plain(dataset_, options(/*workers=*/0));
  DeviceFeed feed(std::make_unique<DataLoader>(dataset_, options(/*workers=*/3)), device_);
  for (const std::int64_t epoch : {0, 1, 2}) {
    plain.start_epoch(epoch);
    feed.start_epoch(epoch);
    const std::vector<at::Tensor> found = sums(feed);
    for (const at::Tensor& sum : found) {
      EXPECT_TRUE(at::equal(sum.cpu(), plain.next()->tensor("index").to(at::kFloat) * 2));
    }
    EXPECT_EQ(found.size(), static_cast<std::size_t>(kSamples / kBatch));
  }
}

// What the feed keeps of small batches until the device has read them, somebody may keep longer,
// and read when the feed has let go of it, or is gone; and nobody, when the feed goes.
TEST_F(GpuDeviceFeedTest, ASmallBatchIsThereAsLongAsItIsRead) {
  const Constants small(/*width=*/1 << 16);  // 256 KiB
  LoaderOptions wanted = options(/*workers=*/3);
  wanted.batch_size = 1;
  for (const std::size_t longer : {0, 20}) {
    std::deque<SampleList> kept;
    std::vector<at::Tensor> sums;
    std::vector<at::Tensor> expected;
    const auto read_oldest = [&] {
      keep_busy();
      sums.push_back(kept.front().tensor("x").amin(1) + kept.front().tensor("x").amax(1));
      kept.pop_front();
    };
    for (const std::int64_t epoch : {0, 1, 2}) {
      DeviceFeed feed(std::make_unique<DataLoader>(small, wanted), device_);
      feed.start_epoch(epoch);
      while (std::optional<SampleList> batch = feed.next()) {
        expected.push_back(batch->tensor("index").to(at::kFloat) * 2);
        kept.push_back(*std::move(batch));
        batch.reset();
        if (kept.size() > longer) read_oldest();
      }
    }
    while (!kept.empty()) read_oldest();
    ASSERT_EQ(sums.size(), static_cast<std::size_t>(3 * kSamples));
    for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_TRUE(sums[i].equal(expected[i])) << i;
  }
}

// 1 MiB a batch: 64 at most by their number, and what shares a mark with the first or the last.
TEST_F(GpuDeviceFeedTest, TheCpuIsNotFarAheadOfTheDevice) {
  LoaderOptions wanted = options(/*workers=*/3);
  wanted.batch_size = 1;
  DeviceFeed feed(std::make_unique<DataLoader>(dataset_, wanted), device_);
  feed.start_epoch(0);
  std::vector<c10::Event> done;
  while (feed.next()) {
    keep_busy();
    done.emplace_back(device_.type());
    done.back().record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  }
  ASSERT_EQ(done.size(), static_cast<std::size_t>(kSamples));
  const auto ahead = std::ranges::count_if(done, [](const auto& event) { return !event.query(); });
  EXPECT_LE(ahead, 80);
  EXPECT_GE(ahead, 8);  // or the device was too fast for this test
}

TEST_F(GpuDeviceFeedTest, NothingThatWaitsIsCalled) {
  DeviceFeed feed(std::make_unique<DataLoader>(dataset_, options(/*workers=*/3)), device_);
  feed.start_epoch(0);
  keep_busy();
  const WaitingOperations waiting(device_);
  (void)sums(feed);
  EXPECT_TRUE(waiting.counts().empty());
}

}  // namespace
}  // namespace pergola::host
