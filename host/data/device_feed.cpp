// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/device_feed.h"

#include "host/device/device_failure.h"
#include "host/support/log.h"

#include <ATen/core/Tensor.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <string>
#include <utility>

namespace pergola::host {
namespace {

// How far the CPU may be ahead of the device: it is not to fill the device's memory with batches
// whose turn comes much later. Two batches at least, so that the device never runs out of work. A
// mark in the device's work tells how far it is; it costs time, so that small batches share one.
constexpr std::size_t kMostBytesAhead = std::size_t{256} << 20;
constexpr std::size_t kMostMarks = 8;
constexpr std::size_t kBatchesOfMark = 8;
constexpr std::size_t kBytesOfMark = kMostBytesAhead / kMostMarks;
constexpr std::size_t kLeastMarks = 2;
// Batches that are that small are kept until the device is done with them, 36 MiB at most; others
// go when nobody uses them any longer, with a mark of their own, which LibTorch sets.
constexpr std::size_t kMostBytesKept = std::size_t{512} << 10;

// One for all feeds of a device: LibTorch keeps freed memory apart by stream. Main thread.
c10::Stream copy_stream(c10::Device device) {
  static std::map<c10::DeviceIndex, c10::Stream> streams;
  const auto found = streams.find(device.index());
  if (found != streams.end()) return found->second;
  const c10::impl::VirtualGuardImpl guard(device.type());
  return streams.emplace(device.index(), guard.getStreamFromGlobalPool(device)).first->second;
}

std::size_t bytes_of(const SampleList& batch) {
  std::size_t bytes = 0;
  batch.for_each_tensor([&](const at::Tensor& tensor) { bytes += tensor.nbytes(); });
  return bytes;
}

}  // namespace

void DeviceFeed::start_epoch(std::int64_t epoch, std::int64_t first_batch) {
  ahead_.reset();
  source_.start_epoch(epoch, first_batch);
}

std::optional<SampleList> DeviceFeed::next() {
  keep_pace();
  Copy copy = ahead_ ? *std::exchange(ahead_, std::nullopt) : fetch();
  hook_ = copy.hook;
  if (copy.error) std::rethrow_exception(copy.error);
  if (!copy.batch) return std::nullopt;
  hand_over(copy);
  if (source_.is_ready()) ahead_ = fetch();
  return std::move(copy.batch);
}

DeviceFeed::Copy DeviceFeed::fetch() {
  Copy copy;
  try {
    copy.batch = source_.next();
  } catch (...) {
    copy.error = std::current_exception();
  }
  copy.hook = source_.last_hook();
  if (!copy.batch || device_.is_cpu()) return copy;
  try {
    copy_to_device(copy);
  } catch (const std::exception& error) {
    tell_not_copied(error);
  }
  return copy;
}

void DeviceFeed::tell_not_copied(const std::exception& error) {
  if (std::exchange(is_told_, true)) return;
  const std::string text = error.what();
  log::warning("[data] a batch was not copied to ", device_.str(),
               " ahead: ", text.substr(0, text.find('\n')),
               "; it is copied when it is its turn, and so are ",
               "others where that happens, which is slower; where memory is short, try a smaller ",
               "training.batch_size");
}

// Memory that is page-locked is kept by LibTorch until it is read.
void DeviceFeed::copy_to_device(Copy& copy) {
  const c10::Stream stream = copy_stream(device_);
  const c10::StreamGuard on_stream(stream);
  SampleList moved = copy.batch->to(device_, /*non_blocking=*/true);
  c10::Event done(device_.type());
  done.record(stream);
  copy.bytes = bytes_of(moved);
  copy.done = std::move(done);
  copy.batch = std::move(moved);
}

// From here on the batch belongs to the stream that computes.
void DeviceFeed::hand_over(Copy& copy) {
  if (!copy.done) return;
  const c10::impl::VirtualGuardImpl guard(device_.type());
  computes_ = guard.getStream(device_);
  if (!copy.done->query()) copy.done->block(*computes_);  // a needless wait takes time, too
  copy.batch->for_each_tensor([&](const at::Tensor& tensor) {
    if (tensor.numel() == 0) return;
    if (copy.bytes <= kMostBytesKept) {
      out_.kept.push_back(tensor.storage());
    } else {
      outlive_work(tensor.storage());
    }
  });
  out_.bytes += copy.bytes;
  ++out_.batches;
}

// Freed memory goes back to the stream of the copies, which must not write into it before the
// device has read it.
void DeviceFeed::outlive_work(const c10::Storage& storage) {
  const c10::impl::VirtualGuardImpl guard(device_.type());
  guard.recordDataPtrOnStream(storage.data_ptr(), *computes_);
}

// All that the device is to compute with the last batch has been given to it by now.
void DeviceFeed::keep_pace() {
  if (out_.bytes < kBytesOfMark && out_.batches < kBatchesOfMark) return;
  mark();
  while (!used_.empty() && used_.front().done->query()) used_.pop_front();
  std::size_t bytes = 0;
  for (const Used& each : used_) bytes += each.bytes;
  while (used_.size() > kMostMarks || (used_.size() > kLeastMarks && bytes > kMostBytesAhead)) {
    bytes -= used_.front().bytes;
    used_.front().done->synchronize();
    used_.pop_front();
  }
}

// The mark is behind all that the device computes with what only this has by then.
void DeviceFeed::mark() {
  std::erase_if(out_.kept, [this](const c10::Storage& storage) {
    if (storage.use_count() == 1) return false;
    outlive_work(storage);
    return true;
  });
  out_.done.emplace(device_.type());
  out_.done->record(*computes_);
  used_.push_back(std::exchange(out_, Used()));
}

// The device may be at work with what is kept.
DeviceFeed::~DeviceFeed() {
  if (device_has_failed()) return;
  for (const c10::Storage& storage : out_.kept) outlive_work(storage);
  for (const Used& used : used_) {
    for (const c10::Storage& storage : used.kept) outlive_work(storage);
  }
}

}  // namespace pergola::host
