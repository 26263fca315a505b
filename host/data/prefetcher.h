// SPDX-License-Identifier: BSD-3-Clause
// Items made ahead on worker threads and handed out strictly in order, whichever is done first.
// One mutex guards all that is shared; nobody waits busily. Used by one thread, which also destroys
// it; LibTorch-free.
#pragma once

#include "pergola/error.h"

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace pergola::host {

template <class Item>
class Prefetcher {
 public:
  // Makes item `index`, on a worker. Once a stop is requested its result is thrown away, so it may
  // return anything.
  using Make = std::function<Item(std::int64_t index, std::stop_token stop)>;

  // Starts `workers` threads that make items first .. end-1, at most `ahead` of them beyond the one
  // that next() returns next. Throws Error{kConfig} when the system gives no more threads.
  // REQUIRES: workers > 0, ahead > 0.
  Prefetcher(Make make, std::int64_t first, std::int64_t end, std::int64_t workers,
             std::int64_t ahead);
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  // Waits for items that are being made, and for no others.
  ~Prefetcher();

  // The next item, or nothing after the last; waits until it is made. Throws what its maker threw;
  // the call after that goes on with the following item.
  [[nodiscard]] std::optional<Item> next();
  // Whether there is a next item that next() need not wait for.
  [[nodiscard]] bool is_ready();

 private:
  struct Slot {
    std::optional<Item> item;
    std::exception_ptr error;
    bool ready = false;
  };
  [[nodiscard]] Slot& slot(std::int64_t index) {
    return slots_[static_cast<std::size_t>(index) % slots_.size()];
  }
  void work(const std::stop_token& stop) noexcept;

  const Make make_;
  const std::int64_t end_;
  std::mutex mutex_;
  std::condition_variable_any may_make_;  // an item was taken
  std::condition_variable_any may_take_;  // an item was made
  std::vector<Slot> slots_;               // item i is in slot i mod size
  std::int64_t next_made_;                // the next item that a worker begins
  std::int64_t next_taken_;               // the next item that next() returns
  std::vector<std::jthread> workers_;     // last: they use all of the above
};

template <class Item>
Prefetcher<Item>::Prefetcher(Make make, std::int64_t first, std::int64_t end, std::int64_t workers,
                             std::int64_t ahead)
    : make_(std::move(make)), end_(end), next_made_(first), next_taken_(first) {
  PERGOLA_ASSERT(workers > 0 && ahead > 0);
  slots_.resize(static_cast<std::size_t>(ahead));
  try {
    for (std::int64_t i = 0; i < workers; ++i) {
      workers_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
  } catch (const std::system_error& error) {
    throw Error(ErrorKind::kConfig, "the system gives ", workers_.size(), " of the ", workers,
                " threads that training.num_workers asks for (", error.what(), "); lower it");
  }
}

template <class Item>
Prefetcher<Item>::~Prefetcher() {
  for (std::jthread& worker : workers_)
    worker.request_stop();  // all at once, before the first join
}

template <class Item>
std::optional<Item> Prefetcher<Item>::next() {
  Slot taken;
  {
    std::unique_lock lock(mutex_);
    if (next_taken_ >= end_) return std::nullopt;
    Slot& front = slot(next_taken_);
    may_take_.wait(lock, [&front] { return front.ready; });
    taken = std::exchange(front, Slot{});
    ++next_taken_;
  }
  may_make_.notify_one();
  if (taken.error) std::rethrow_exception(taken.error);
  return std::move(taken.item);
}

template <class Item>
bool Prefetcher<Item>::is_ready() {
  const std::lock_guard lock(mutex_);
  return next_taken_ < end_ && slot(next_taken_).ready;
}

template <class Item>
void Prefetcher<Item>::work(const std::stop_token& stop) noexcept {
  const auto has_room = [this] {
    return next_made_ >= end_ ||
           next_made_ < next_taken_ + static_cast<std::int64_t>(slots_.size());
  };
  while (true) {
    std::unique_lock lock(mutex_);
    if (!may_make_.wait(lock, stop, has_room) || stop.stop_requested() || next_made_ >= end_)
      return;
    const std::int64_t index = next_made_++;
    lock.unlock();
    Slot made;
    try {
      made.item.emplace(make_(index, stop));
    } catch (...) {
      made.error = std::current_exception();
    }
    made.ready = true;
    lock.lock();
    slot(index) = std::move(made);
    lock.unlock();
    may_take_.notify_one();
  }
}

}  // namespace pergola::host
