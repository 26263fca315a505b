// SPDX-License-Identifier: BSD-3-Clause
// Trainings that are killed (SIGKILL) at random moments, saves included, and resumed until they are
// done: each ends with the weights, the optimizer and the metrics of the run that was never killed.
// A run is a fork of this process, which has LibTorch loaded: its start costs milliseconds.
//   PERGOLA_FAULT_COUNT   how many runs are killed (200)
//   PERGOLA_FAULT_SEED    of the moments (1)
#include "host/run/commands.h"
#include "host/run/plugins.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "integration/run_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

namespace pergola::test {
namespace {

using Seconds = std::chrono::duration<double>;

int number_from(const char* variable, int fallback) {
  const char* text = std::getenv(variable);
  return text == nullptr ? fallback : std::atoi(text);
}

// Small epochs, and a save at each update: most moments are in a save or beside one.
const Words kWords = {"training.max_updates=10",
                      "training.evaluation_interval=3",
                      "training.checkpoint_interval=1",
                      "training.update_frequency=2",
                      "training.log_interval=1",
                      "checkpoint.max_to_keep=2",
                      "checkpoint.keep_best=2",
                      "training.ema.enabled=true",
                      "evaluation.predict=false",
                      "training.lr_scheduler=true",
                      "scheduler.type=warmup_linear",
                      "scheduler.params={num_warmup_steps=4, num_training_steps=10}"};

// What a forked process does; its exit code is 0 when the run is done.
[[noreturn]] void train_and_exit(const std::string& config, const std::string& run) {
  int code = 1;
  try {
    const int null = ::open("log", O_WRONLY | O_CREAT | O_APPEND, 0666);
    ::dup2(null, STDERR_FILENO);
    Words words = kWords;
    words.push_back("env.save_dir=" + run);
    const host::ConfigAndPlugins loaded =
        host::load_config(config, host::parse_overrides(words), {});
    host::TrainRequest request{loaded.config, loaded.catalog, host::ExistingRun::kResume, false};
    host::note_stop_signals();
    static_cast<void>(host::train(request));
    code = 0;
  } catch (const std::exception& error) {
    host::log::error(error.what());
  }
  ::_exit(code);
}

class KillTest : public RunTest {
 protected:
  KillTest() { std::filesystem::current_path(path("")); }

  // One process of a run; killed after `life`, unless it ends before. Its exit code, or -1.
  static int run_for(const std::string& config, const std::string& run, Seconds life) {
    const pid_t child = ::fork();
    if (child == 0) train_and_exit(config, run);
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
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  void expect_same_end(const std::string& run) const {
    for (const char* file :
         {"/checkpoints/last/model.safetensors", "/checkpoints/last/trainer.safetensors",
          "/checkpoints/best/model.safetensors"}) {
      EXPECT_TRUE(same_bytes(run + file, std::string("whole") + file)) << run << file;
    }
    EXPECT_EQ(metrics(run), metrics("whole")) << run;
    EXPECT_EQ(json(run + "/summary.json").at("status"), "finished") << run;
    for (const std::string& name : listing(run)) {
      EXPECT_EQ(name.find(".tmp-"), std::string::npos) << run << '/' << name;
    }
  }
};

constexpr Seconds kForever(120);

TEST_F(KillTest, ARunThatIsKilledAnywhereEndsAsOneThatWasNot) {
  const int count = number_from("PERGOLA_FAULT_COUNT", 200);
  std::mt19937 random(static_cast<unsigned>(number_from("PERGOLA_FAULT_SEED", 1)));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(run_for("boring.toml", "whole", kForever), 0) << text("log");
  const Seconds whole = std::chrono::steady_clock::now() - begin;
  int killed = 0;
  for (int i = 0; killed < count; ++i) {
    ASSERT_LT(i, 10 * count) << "most runs end before they are killed";
    const std::string run = "run_" + std::to_string(i);
    std::uniform_real_distribution<double> moment(0, whole.count());
    int code = run_for("boring.toml", run, Seconds(moment(random)));
    if (code == -1) ++killed;
    // Killed again and again, for half as long each time, and then left alone.
    for (int again = 0; code == -1 && again < 3; ++again) {
      code = run_for("boring.toml", run, Seconds(moment(random)));
    }
    if (code == -1) code = run_for("boring.toml", run, kForever);
    ASSERT_EQ(code, 0) << run << ": " << text("log");
    expect_same_end(run);
    if (HasFailure()) return;
    std::filesystem::remove_all(path(run));
  }
  std::printf("%d runs killed; one that is not takes %.3f s\n", killed, whole.count());
}

}  // namespace
}  // namespace pergola::test
