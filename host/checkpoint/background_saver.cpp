// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/background_saver.h"

#include "host/support/log.h"

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

// While it lives, no signal comes to this thread, nor ever to one that it starts.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

// Says that the copy is done, however it ended.
class CopyEnd {
 public:
  explicit CopyEnd(std::atomic<bool>& copying) : copying_(copying) {}
  CopyEnd(const CopyEnd&) = delete;
  CopyEnd& operator=(const CopyEnd&) = delete;
  ~CopyEnd() {
    copying_.store(false, std::memory_order_release);
    copying_.notify_all();
  }

 private:
  std::atomic<bool>& copying_;
};

}  // namespace

void BackgroundSaver::prepare(const CheckpointContent& content) {
  join();
  // Without memory the first submit says so in its own way.
  start([this, room = ContentCopy::room_for(content)] { static_cast<void>(copy_.reserve(room)); });
}

void BackgroundSaver::submit(CheckpointContent content, std::string_view later, Save save) {
  join();
  if (!copy_.begin(content, later)) {
    log::warning(
        "[checkpoint] there is no memory for a copy, so training waits for this save; "
        "checkpoint.save_in_background = false does without");
    save(std::move(content));
    return;
  }
  copying_.store(true, std::memory_order_relaxed);  // the thread's start orders it
  start([this, content = std::move(content), save = std::move(save)]() mutable {
    save_copy(std::move(content), save);
  });
  copy_.copy_now();
}

void BackgroundSaver::save_copy(CheckpointContent content, const Save& save) {
  {
    const CopyEnd end(copying_);
    copy_.copy_now();
    copy_.copy_later();
  }
  save(std::move(content));
}

void BackgroundSaver::start(std::function<void()> job) {
  job_ = std::move(job);
  try {
    const SignalsBlocked blocked;
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {  // no more threads
    run();
  }
}

void BackgroundSaver::run() noexcept {
  try {
    std::exchange(job_, nullptr)();
  } catch (...) {
    error_ = std::current_exception();
    failed_.store(true, std::memory_order_release);
  }
}

void BackgroundSaver::wait_for_copy() const noexcept {
  copying_.wait(true, std::memory_order_acquire);
}

void BackgroundSaver::join() {
  if (thread_.joinable()) thread_.join();
  failed_ = false;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void BackgroundSaver::end() {
  join();
  copy_.clear();
}

void BackgroundSaver::finish() noexcept {
  try {
    join();
  } catch (const std::exception& error) {
    log::error("[checkpoint] ", error.what());
  } catch (...) {
    log::error("[checkpoint] saving failed with an exception that is no std::exception");
  }
}

}  // namespace pergola::host
