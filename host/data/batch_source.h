// SPDX-License-Identifier: BSD-3-Clause
// BatchSource: where the trainer and an evaluation get their batches from, epoch by epoch. What an
// epoch gives is a function of its number: one that is begun in its middle gives the rest of it.
// Used by one thread.
#pragma once

#include "host/support/hook.h"
#include "pergola/sample_list.h"

#include <cstdint>
#include <optional>

namespace pergola::host {

class BatchSource {
 public:
  BatchSource() = default;
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;
  virtual ~BatchSource() = default;

  // Of an epoch; the same of each.
  [[nodiscard]] virtual std::int64_t num_batches() const noexcept = 0;

  // Begins `epoch` at batch `first_batch`, whatever was going on; num_batches() is an epoch that is
  // over, which keeps nothing ahead. Throws Error{kConfig} when the system gives no more threads.
  // REQUIRES: 0 <= first_batch <= num_batches().
  virtual void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0) = 0;

  // The next batch, or nothing at the end of the epoch and before the first one. Throws what a data
  // set threw for one of its samples; the call after that goes on with the following batch.
  [[nodiscard]] virtual std::optional<SampleList> next() = 0;

  // Whether there is a next batch, and next() returns it, or throws, without waiting for others.
  [[nodiscard]] virtual bool is_ready() { return false; }

  // Waits where the CPU is far ahead of the device, which is no waiting for data. next() does it,
  // too: who measures how long a batch is waited for calls this before.
  virtual void keep_pace() {}

  // Who gave, or failed to give, the last next() its batch: get() of a data set, or the hook of a
  // model that prepares batches.  REQUIRES: next() was called in this epoch.
  [[nodiscard]] virtual Hook last_hook() const = 0;
};

}  // namespace pergola::host
