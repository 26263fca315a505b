// SPDX-License-Identifier: BSD-3-Clause
// Saves checkpoints on a thread of its own, from a copy of their tensors, while training goes on.
// There is one save at a time, and none is given up. Used by one thread.
#pragma once

#include "host/checkpoint/checkpoint.h"
#include "host/checkpoint/content_copy.h"

#include <atomic>
#include <exception>
#include <functional>
#include <string_view>
#include <thread>

namespace pergola::host {

class BackgroundSaver {
 public:
  // Puts the content on the disk. Whatever it throws comes out of check() or join().
  using Save = std::function<void(CheckpointContent content)>;

  BackgroundSaver() = default;
  BackgroundSaver(const BackgroundSaver&) = delete;
  BackgroundSaver& operator=(const BackgroundSaver&) = delete;
  ~BackgroundSaver() { finish(); }

  // Gets memory for a copy of content like this one, in the background: a first submit that finds
  // it ready is as fast as a later one. Waits for a save in flight.
  void prepare(const CheckpointContent& content);

  // Waits for the save in flight, copies the tensors, and returns; save(copy) is called on the
  // other thread, to which no signal comes. Tensors of content.trainer whose names begin with
  // `later` are copied there, so they must not change before wait_for_copy() returns. Throws what
  // an earlier save threw, and then does nothing. Where the system has no memory for the copy, or
  // no thread, it calls `save` itself.
  void submit(CheckpointContent content, std::string_view later, Save save);

  // Until what submit() was given is not needed any more. At once when nothing is in flight.
  void wait_for_copy() const noexcept;

  // Throws what a save threw, once; otherwise at once.
  void check() {
    if (failed_.load(std::memory_order_acquire)) join();
  }
  // Waits for the save in flight, and does the same.
  void join();
  // Does the same, and gives the memory back: no further save is expected.
  void end();
  // Waits, too; what a save threw becomes an error in the log.
  void finish() noexcept;

 private:
  void start(std::function<void()> job);
  void run() noexcept;
  void save_copy(CheckpointContent content, const Save& save);

  ContentCopy copy_;  // of the thread's while it runs, otherwise of the user's
  std::atomic<bool> copying_ = false;
  std::atomic<bool> failed_ = false;
  std::function<void()> job_;
  std::exception_ptr error_;  // read after the thread has ended
  std::thread thread_;
};

}  // namespace pergola::host
