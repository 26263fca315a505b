// SPDX-License-Identifier: BSD-3-Clause
#include "fault/forked_run.h"

#include "host/checkpoint/store.h"
#include "host/run/commands.h"
#include "host/run/plugins.h"
#include "host/support/log.h"
#include "host/support/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Small epochs, and a save at each update: most moments are in a save or beside one. All but three
// of the checkpoints are kept, so that one that is lost, or stays, shows.
const Words kWords = {"training.max_updates=10",
                      "training.evaluation_interval=3",
                      "training.checkpoint_interval=1",
                      "training.update_frequency=2",
                      "training.log_interval=1",
                      "checkpoint.max_to_keep=2",
                      "checkpoint.keep_every=2",
                      "checkpoint.keep_best=2",
                      "training.ema.enabled=true",
                      "training.tensorboard=true",
                      "evaluation.predict=false",
                      "training.lr_scheduler=true",
                      "scheduler.type=warmup_linear",
                      "scheduler.params={num_warmup_steps=4, num_training_steps=10}"};

// What a forked process does; its exit code is 0 when the run is done.
[[noreturn]] void train_and_exit(const std::string& run, const std::function<void()>& disturb,
                                 const Words& more) {
  int code = 1;
  try {
    const int null = ::open("log", O_WRONLY | O_CREAT | O_APPEND, 0666);
    ::dup2(null, STDERR_FILENO);
    if (disturb) disturb();
    Words words = kWords;
    words.insert(words.end(), more.begin(), more.end());
    words.push_back("env.save_dir=" + run);
    const host::ConfigAndPlugins loaded =
        host::load_config("boring.toml", host::parse_overrides(words), {});
    host::TrainRequest request{loaded.config, loaded.catalog, host::ExistingRun::kResume, false};
    host::note_stop_signals();
    static_cast<void>(host::train(request));
    code = 0;
  } catch (const std::exception& error) {
    host::log::error(error.what());
  }
  ::_exit(code);
}

}  // namespace

ForkedRunTest::ForkedRunTest() { fs::current_path(path("")); }

int ForkedRunTest::run_for(const std::string& run, Seconds life,
                           const std::function<void()>& disturb, const Words& more) {
  const pid_t child = ::fork();
  if (child == 0) train_and_exit(run, disturb, more);
  const auto end = std::chrono::steady_clock::now() + life;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    break;
  }
  expect_promised(run);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Seconds ForkedRunTest::train_whole() {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(run_for("whole", kForever), 0) << text("log");
  return std::chrono::steady_clock::now() - begin;
}

// A `last` that was there once stays there, whole, and never becomes older.
void ForkedRunTest::expect_promised(const std::string& run) {
  const auto names = listing(run + "/checkpoints");
  interrupted_saves_ += std::ranges::any_of(
      names, [](const std::string& name) { return name.find(".tmp-") != std::string::npos; });
  std::int64_t& promised = promised_.try_emplace(run, -1).first->second;
  const auto found = host::CheckpointStore(path(run)).find_resume();
  if (!found) {
    EXPECT_EQ(promised, -1) << run << ": there is no checkpoint any more";
    return;
  }
  EXPECT_EQ(found->folder.filename(), "last") << run;
  for (const std::string& failure : found->failures) ADD_FAILURE() << run << ": " << failure;
  const std::int64_t update = found->content.state.find("progress.update")->as_integer();
  EXPECT_GE(update, promised) << run;
  promised = update;
}

void ForkedRunTest::expect_same_end(const std::string& run) const {
  const std::vector<std::string> files = listing("whole/checkpoints");
  EXPECT_EQ(listing(run + "/checkpoints"), files) << run;
  for (const std::string& file : files) {
    const std::string one = run + "/checkpoints/" + file;
    const std::string other = "whole/checkpoints/" + file;
    if (file.ends_with(".safetensors")) {
      EXPECT_TRUE(same_bytes(one, other)) << one;
    }
    if (!file.ends_with("state.json")) continue;
    const Json found = json(one);
    const Json expected = json(other);
    for (const char* part : {"progress", "meter", "scheduler", "callbacks", "extras", "seed"}) {
      EXPECT_EQ(found.value(part, Json()), expected.value(part, Json())) << one << ": " << part;
    }
  }
  EXPECT_EQ(metrics(run), metrics("whole")) << run;
  EXPECT_EQ(json(run + "/summary.json").at("status"), "finished") << run;
  for (const std::string& name : listing(run)) {
    EXPECT_EQ(name.find(".tmp-"), std::string::npos) << run << '/' << name;
  }
}

}  // namespace pergola::test
