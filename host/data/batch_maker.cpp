// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/batch_maker.h"

#include "pergola/error.h"
#include "pergola/rng.h"

#include <ATen/Parallel.h>

#include <dlfcn.h>

#include <algorithm>
#include <utility>

namespace pergola::host {

BatchMaker::BatchMaker(const Dataset& dataset, LoaderOptions options)
    : dataset_(dataset),
      options_(std::move(options)),
      num_batches_(std::min(options_.max_batches, count_batches(dataset.size(), options_.batch_size,
                                                                options_.last_batch))),
      num_samples_(std::min(dataset.size(), num_batches_ * options_.batch_size)) {
  PERGOLA_ASSERT(options_.max_batches >= 0);
}

Hook BatchMaker::hook() const noexcept {
  return {.name = "get()",
          .kind = "dataset",
          .key = options_.dataset_name,
          .split = options_.dataset_type,
          .tail = " or of its processors"};
}

std::vector<std::int64_t> BatchMaker::order(std::int64_t epoch) const {
  return sample_order(dataset_.size(), options_.shuffle, options_.seed, epoch);
}

SampleList BatchMaker::collate(const std::vector<std::int64_t>& order, std::int64_t epoch,
                               std::int64_t batch, const std::stop_token& stop) const {
  const Hook hook = this->hook();
  const HookScope running(hook);  // also of a worker's thread
  const std::int64_t begin = batch * options_.batch_size;
  const std::int64_t end = std::min(begin + options_.batch_size, dataset_.size());
  std::vector<Sample> samples;
  samples.reserve(static_cast<std::size_t>(end - begin));
  for (std::int64_t i = begin; i < end; ++i) {
    if (stop.stop_requested()) return {};  // nobody will look at it
    const std::int64_t index = order[static_cast<std::size_t>(i)];
    Rng rng(options_.seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(index));
    samples.push_back(dataset_.get(index, rng));
  }
  // At once where the batch will be copied from: another copy, of memory that is new each time,
  // takes longer than all the rest.
  const bool pinned = options_.transfer.pin_memory == PinMemory::kYes;
  SampleList list =
      SampleList::collate(samples, pinned ? HostMemory::kPageLocked : HostMemory::kPageable);
  list.set_dataset(options_.dataset_name, options_.dataset_type);
  return list;
}

SampleList BatchMaker::make(const std::vector<std::int64_t>& order, std::int64_t epoch,
                            std::int64_t batch, const std::stop_token& stop) const {
  SampleList list = collate(order, epoch, batch, stop);
  if (stop.stop_requested()) return list;
  const BatchTransfer& transfer = options_.transfer;
  if (transfer.prepare) {
    const HookScope running(transfer.prepare_hook);
    try {
      transfer.prepare(list);
    } catch (...) {
      throw PrepareFailed{std::current_exception()};
    }
  }
  return transfer.pin_memory == PinMemory::kYes ? std::move(list).pin_memory() : std::move(list);
}

// at::set_num_threads would change the whole process, so OpenMP is asked itself, the copy that
// LibTorch brings along.
void keep_aten_to_this_thread() {
  static thread_local const bool done = [] {
    (void)
        at::get_num_threads();  // ATen sets this thread's number at its first use, and never again
    using SetThreads = void (*)(int);
    const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
    if (set != nullptr) set(1);
    return true;
  }();
  (void)done;
}

}  // namespace pergola::host
