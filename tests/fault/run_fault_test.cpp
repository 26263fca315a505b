// SPDX-License-Identifier: BSD-3-Clause
// Whole trainings whose disk refuses an operation, or all from there on: none loses a checkpoint
// that it had, and resumed on a sound disk it ends as one that was left alone. And the metrics that
// a checkpoint promises are on the disk before it is.
#include "fault/faulty_ops.h"
#include "fault/forked_run.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <map>
#include <mutex>
#include <new>

namespace pergola::test {
namespace {

using host::FileOps;
using host::fault_test::Fault;
using host::fault_test::FaultyOps;
using host::fault_test::Lasting;

// For the rest of a forked process.
template <class Ops, class... Arguments>
void install(Arguments&&... arguments) {
  static FileOps system;
  static Ops ops(system, std::forward<Arguments>(arguments)...);
  static const host::ScopedFileOps scope(ops);
}

// In memory that a forked process shares.
struct Seen {
  std::atomic<int> operations = 0;
  std::atomic<int> saves = 0;           // of `last`
  std::atomic<int> written = 0;         // files beside the checkpoints, each time
  std::atomic<int> unsynced_saves = 0;  // that came while such a file was not on the disk
};

// Looks on.
class WatchingOps final : public FileOps {
 public:
  WatchingOps(FileOps& system, Seen& seen) : system_(system), seen_(seen) {}

  int open(const char* path, int flags, mode_t mode) override {
    const int fd = system_.open(path, flags, mode);
    const std::lock_guard<std::mutex> lock(count());
    if (is_promised(path)) promised_[fd] = false;
    return fd;
  }
  ssize_t write(int fd, const void* bytes, std::size_t size) override {
    const std::lock_guard<std::mutex> lock(count());
    if (const auto file = promised_.find(fd); file != promised_.end()) {
      file->second = true;
      ++seen_.written;
    }
    return system_.write(fd, bytes, size);
  }
  int fsync(int fd) override {
    const std::lock_guard<std::mutex> lock(count());
    if (const auto file = promised_.find(fd); file != promised_.end()) file->second = false;
    return system_.fsync(fd);
  }
  int close(int fd) override {
    const std::lock_guard<std::mutex> lock(count());
    promised_.erase(fd);
    return system_.close(fd);
  }
  int rename(const char* from, const char* to) override {
    look(to);
    return system_.rename(from, to);
  }
  int exchange(const char* a, const char* b) override {
    look(b);
    return system_.exchange(a, b);
  }
  int link(const char* from, const char* to) override {
    count();
    return system_.link(from, to);
  }
  int mkdir(const char* path, mode_t mode) override {
    count();
    return system_.mkdir(path, mode);
  }
  int unlink(const char* path) override {
    count();
    return system_.unlink(path);
  }
  int rmdir(const char* path) override {
    count();
    return system_.rmdir(path);
  }

 private:
  static bool is_promised(std::string_view path) {
    return path.ends_with("metrics.jsonl") || path.find("events.out") != std::string_view::npos;
  }
  std::mutex& count() {
    ++seen_.operations;
    return mutex_;
  }
  void look(std::string_view target) {
    const std::lock_guard<std::mutex> lock(count());
    if (!target.ends_with("checkpoints/last")) return;
    ++seen_.saves;
    for (const auto& [fd, is_dirty] : promised_) seen_.unsynced_saves += is_dirty ? 1 : 0;
  }

  FileOps& system_;
  Seen& seen_;
  std::mutex mutex_;
  std::map<int, bool> promised_;  // descriptors of such files: has it bytes that are not synced?
};

class RunFaultTest : public ForkedRunTest {
 protected:
  // What a run does that nothing disturbs.
  Seen& watch(const std::string& run, const Words& more) {
    run_for(
        run, kForever, [this] { install<WatchingOps>(*seen_); }, more);
    return *seen_;
  }

 private:
  static Seen* shared() {
    void* const memory =
        ::mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? throw std::bad_alloc() : new (memory) Seen;
  }
  Seen* seen_ = shared();
};

TEST_F(RunFaultTest, MetricsAndEventsAreOnTheDiskBeforeTheirCheckpoint) {
  // In the background, the next update's are written meanwhile.
  const Seen& seen = watch("run", {"checkpoint.save_in_background=false"});
  EXPECT_EQ(seen.saves, 10);
  EXPECT_GE(seen.written, 20);
  EXPECT_EQ(seen.unsynced_saves, 0);
}

struct Disturbance {
  const char* name;
  Fault fault;
  Lasting lasting;
};
void PrintTo(const Disturbance& disturbance, std::ostream* stream) { *stream << disturbance.name; }

class DisturbedRun : public RunFaultTest, public ::testing::WithParamInterface<Disturbance> {};

INSTANTIATE_TEST_SUITE_P(Disks, DisturbedRun,
                         ::testing::Values(Disturbance{"full", Fault::kNoSpace, Lasting::kForGood},
                                           Disturbance{"bad_once", Fault::kBadDisk, Lasting::kOnce},
                                           Disturbance{"interrupted", Fault::kInterrupted,
                                                       Lasting::kOnce}),
                         [](const auto& one) { return std::string(one.param.name); });

// Saves are in the background, and the training thread's files beside them.
TEST_P(DisturbedRun, EndsAsOneThatWasNot) {
  constexpr int kRuns = 12;
  train_whole();
  const int operations = watch("watched", {}).operations;
  int disturbed = 0;
  for (int i = 0; i < kRuns; ++i) {
    const std::string run = "run_" + std::to_string(i);
    const int nth = 1 + i * operations / kRuns;
    const int code = run_for(
        run, kForever, [nth] { install<FaultyOps>(GetParam().fault, GetParam().lasting, nth); });
    if (code != 0) {
      ++disturbed;
      ASSERT_EQ(run_for(run, kForever), 0) << run << ": " << text("log");
    }
    expect_same_end(run);
    if (HasFailure()) return;
    std::filesystem::remove_all(path(run));
  }
  // A signal is no fault; of a full disk each run is told.
  const int least = GetParam().lasting == Lasting::kForGood ? kRuns : 0;
  const int most = GetParam().fault == Fault::kInterrupted ? 0 : kRuns;
  EXPECT_GE(disturbed, least);
  EXPECT_LE(disturbed, most);
}

}  // namespace
}  // namespace pergola::test
