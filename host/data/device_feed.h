// SPDX-License-Identifier: BSD-3-Clause
// DeviceFeed: the batches of another source, on the device. Each is copied on a stream of its own
// while the device computes with the one before it, as soon as the other source has it; neither the
// CPU nor the device waits for more than that. Small batches stay in memory until the device is
// done with some more of them. Uses the other source alone, in its order; used by one thread, whose
// stream on the device is the one that computes.
#pragma once

#include "host/data/batch_source.h"

#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/Storage.h>
#include <c10/core/Stream.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

namespace pergola::host {

class DeviceFeed final : public BatchSource {
 public:
  // REQUIRES: `source` outlives the feed; `device` is a GPU whose library is loaded, or the CPU,
  // where batches are handed on as they are.
  DeviceFeed(BatchSource& source, c10::Device device) : source_(source), device_(device) {}
  // The same with a source of its own.
  DeviceFeed(std::unique_ptr<BatchSource> source, c10::Device device)
      : owned_(std::move(source)), source_(*owned_), device_(device) {}
  ~DeviceFeed() override;

  [[nodiscard]] std::int64_t num_batches() const noexcept override { return source_.num_batches(); }
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0) override;
  // Throws what the other source throws, when it is the batch's turn. A batch whose copy fails, as
  // memory is short, comes as it is: who uses it copies it again, and is told why that fails. A
  // warning says so, once.
  [[nodiscard]] std::optional<SampleList> next() override;
  [[nodiscard]] bool is_ready() override { return ahead_ || source_.is_ready(); }
  void keep_pace() override;
  [[nodiscard]] Hook last_hook() const override { return hook_; }

 private:
  // A batch on its way.
  struct Copy {
    std::optional<SampleList> batch;  // none: the epoch is over, or `error`
    std::optional<c10::Event> done;   // none: it is on the CPU
    std::size_t bytes = 0;
    std::exception_ptr error;
    Hook hook;  // who gave it, or failed to
  };
  // Batches that were handed out, as long as the device may compute with them.
  struct Used {
    std::optional<c10::Event> done;  // none: others may join them
    std::size_t bytes = 0;
    std::size_t batches = 0;
    std::vector<c10::Storage> kept;
  };

  [[nodiscard]] Copy fetch();
  void copy_to_device(Copy& copy);
  void tell_not_copied(const std::exception& error);
  void hand_over(Copy& copy);
  void outlive_work(const c10::Storage& storage);
  void mark();

  std::unique_ptr<BatchSource> owned_;
  BatchSource& source_;
  const c10::Device device_;
  std::optional<Copy> ahead_;
  Hook hook_;
  bool is_told_ = false;                 // that a copy failed
  std::optional<c10::Stream> computes_;  // none: nothing was handed out
  Used out_;                             // since the last mark
  std::deque<Used> used_;                // the oldest first
};

}  // namespace pergola::host
