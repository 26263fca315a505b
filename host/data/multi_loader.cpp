// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/multi_loader.h"

#include "pergola/error.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

namespace pergola::host {
namespace {

std::vector<EpochSize> sizes_of(const std::vector<BatchMaker>& makers) {
  std::vector<EpochSize> sizes;
  for (const BatchMaker& maker : makers) {
    sizes.push_back({maker.num_samples(), maker.num_batches()});
  }
  return sizes;
}

}  // namespace

// Makes batches on any thread, and keeps the orders of the two epochs around the one in hand:
// workers may be on both sides of the border between two.
class MultiLoader::Part {
 public:
  explicit Part(BatchMaker maker) : maker_(std::move(maker)) {}

  [[nodiscard]] const BatchMaker& maker() const noexcept { return maker_; }

  [[nodiscard]] SampleList make(const Turn& turn, const std::stop_token& stop) {
    const Order order = order_of(turn.epoch);
    return maker_.make(*order, turn.epoch, turn.batch, stop);
  }

 private:
  using Order = std::shared_ptr<const std::vector<std::int64_t>>;
  struct Kept {
    std::int64_t epoch = -1;
    Order order;
  };

  [[nodiscard]] Order order_of(std::int64_t epoch) {
    const std::scoped_lock lock(mutex_);
    Kept& kept = kept_[static_cast<std::size_t>(epoch) % kept_.size()];
    if (kept.epoch != epoch) {
      kept = {epoch, std::make_shared<std::vector<std::int64_t>>(maker_.order(epoch))};
    }
    return kept.order;
  }

  const BatchMaker maker_;
  std::mutex mutex_;
  std::array<Kept, 2> kept_;
};

MultiLoader::MultiLoader(const std::vector<BatchMaker>& makers, IterationStrategy strategy,
                         MultiLoaderOptions options)
    : options_(options), turns_(std::move(strategy), sizes_of(makers), options.seed) {
  PERGOLA_ASSERT(options_.num_workers >= 0 && options_.prefetch > 0);
  for (const BatchMaker& maker : makers) parts_.push_back(std::make_unique<Part>(maker));
}

MultiLoader::~MultiLoader() = default;

void MultiLoader::start_epoch(std::int64_t epoch, std::int64_t first_batch) {
  PERGOLA_ASSERT(first_batch >= 0 && first_batch <= num_batches());
  prefetcher_.reset();
  plan_.clear();
  next_ = 0;
  if (first_batch == num_batches()) return;
  plan_ = turns_.epoch(epoch);
  next_ = static_cast<std::size_t>(first_batch);
  const std::int64_t workers = std::min(options_.num_workers, num_batches() - first_batch);
  if (workers == 0) return;
  const auto make_ahead = [this](std::int64_t position, const std::stop_token& stop) {
    keep_aten_to_this_thread();
    return make(plan_[static_cast<std::size_t>(position)], stop);
  };
  prefetcher_ = std::make_unique<Prefetcher<SampleList>>(make_ahead, first_batch, num_batches(),
                                                         workers, workers * options_.prefetch);
}

std::optional<SampleList> MultiLoader::next() {
  if (next_ >= plan_.size()) return std::nullopt;
  const Turn& turn = plan_[next_++];
  return next_or_throw(prepare_failed_, [&]() -> std::optional<SampleList> {
    if (prefetcher_) return prefetcher_->next();
    return make(turn, std::stop_token());
  });
}

Hook MultiLoader::last_hook() const {
  PERGOLA_ASSERT(next_ > 0 && next_ <= plan_.size());
  const BatchMaker& maker = parts_[plan_[next_ - 1].dataset]->maker();
  return prepare_failed_ ? maker.options().transfer.prepare_hook : maker.hook();
}

SampleList MultiLoader::make(const Turn& turn, const std::stop_token& stop) const {
  return parts_[turn.dataset]->make(turn, stop);
}

}  // namespace pergola::host
