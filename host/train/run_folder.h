// SPDX-License-Identifier: BSD-3-Clause
// The folder of one run: what is in it, and that only one process writes to it. Main thread.
// No LibTorch here.
#pragma once

#include "host/support/files.h"

#include <filesystem>
#include <functional>
#include <string>

namespace pergola::host {

// What to do when the folder already holds a run.
enum class ExistingRun { kRefuse, kResume, kOverwrite };

class RunFolder {
 public:
  // Makes the folder and takes it for this process; what is in it stays. The .lock of an empty one
  // says from then on that it is a run's. Throws Error{kCheckpoint} when it holds a run and
  // `existing` says kRefuse; when it holds a file that a run would remove or replace and its .lock
  // does not say that (kResume takes a run all the same); when kOverwrite would replace a symbolic
  // link; when another process has it, or when it cannot be written.
  RunFolder(std::filesystem::path folder, ExistingRun existing);

  // Makes the folder, and has its .lock say that it is a run's when nothing is in it that a run
  // would remove or replace. For who writes predictions there without a run; takes no lock.
  static void mark_if_empty(const std::filesystem::path& folder);

  // Has the .lock say that it is a run's: for one that was copied without it, once it was resumed.
  void mark() const;

  // Is there something to lose: metrics or checkpoints of a run that has begun? Throws
  // Error{kCheckpoint} when the system does not say.
  [[nodiscard]] bool holds_run() const;

  // --overwrite, in two steps, so that a run that can be continued is never lost. What an old run
  // wrote, but for its log, which the new one continues, is moved to .replaced. It is removed when
  // the new run has saved a checkpoint, and put back when that one ends before; after a crash the
  // constructor does whichever is due. Throw Error{kCheckpoint}, but for remove_replaced(), which
  // warns, and says once that it has removed. `hook` is called after each step, for tests.
  using StepHook = std::function<void()>;
  void set_aside(const StepHook& hook = [] {}) const;
  void remove_replaced() const;
  // False when there is nothing to put back, or the new run has a checkpoint.
  bool put_back(const StepHook& hook = [] {}) const;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return folder_; }
  [[nodiscard]] std::filesystem::path config() const { return folder_ / "config.toml"; }
  [[nodiscard]] std::filesystem::path log() const { return folder_ / "log.txt"; }
  [[nodiscard]] std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }
  [[nodiscard]] std::filesystem::path summary() const { return folder_ / "summary.json"; }
  [[nodiscard]] std::filesystem::path replaced() const { return folder_ / ".replaced"; }

 private:
  void recover() const;

  std::filesystem::path folder_;
  UniqueFd lock_;
};

}  // namespace pergola::host
