// SPDX-License-Identifier: BSD-3-Clause
// What the trainer costs: Pythia on easy-VQA (configs/runs/pythia_easy_vqa.toml, adamw), trained by
// Pergola's Trainer with its log, and by the loop that one would write by hand on LibTorch, with
// torch::optim::AdamW and with the trainer's optimizer. Same model, same batches, same order. An
// iteration is kUpdates updates; compare the medians of one interleaved run.
#include "host/callbacks/logging_callback.h"
#include "host/config/run_config.h"
#include "host/model/builder.h"
#include "host/run/plugins.h"
#include "host/run/session.h"
#include "host/support/log.h"
#include "host/train/trainer.h"

#include <torch/optim/adamw.h>

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace pergola::host {
namespace {

constexpr std::int64_t kUpdates = 50;
constexpr std::int64_t kSeed = 1;

const ConfigAndPlugins& config() {
  static const ConfigAndPlugins loaded =
      load_config(PERGOLA_CONFIG, parse_overrides({"training.device=cpu"}), {PERGOLA_PLUGINS});
  return loaded;
}

// Read once: both loops train on it.
Session& session() {
  static Session* const made = [] {
    init_log(LogLevel::kWarning);
    return new Session(RunConfig::parse(config().config.root), config().catalog);
  }();
  return *made;
}

std::unique_ptr<Optimizer> adamw(BaseModel& model) {
  const Config config(Value::Table{{"type", "adamw"}, {"params", Value::Table{{"lr", 1e-3}}}});
  return build_optimizer(session().registry(), model, config);
}

// `make` gives the optimizer for a model, as a pointer.
template <typename Make>
void hand_written_loop(benchmark::State& state, const Make& make) {
  session().build_model("train", kSeed);
  BaseModel& model = session().model();
  model.train();
  const std::unique_ptr<BatchSource> loader = session().training_batches(kSeed);
  const auto optimizer = make(model);
  for (auto _ : state) {
    loader->start_epoch(0);
    for (std::int64_t update = 0; update < kUpdates; ++update) {
      const std::optional<SampleList> batch = loader->next();
      optimizer->zero_grad();
      const at::Tensor scores = model.forward(*batch).scores;
      const at::Tensor& targets = batch->tensor("targets");  // the config's loss is logit_bce
      const at::Tensor loss =
          at::binary_cross_entropy_with_logits(scores, targets) * targets.size(1);
      loss.backward();
      optimizer->step();
      benchmark::DoNotOptimize(loss.item<float>());
    }
  }
  state.SetItemsProcessed(state.iterations() * kUpdates);
}

// What one would write on LibTorch alone.
void loop_with_torch_adamw(benchmark::State& state) {
  hand_written_loop(state, [](const BaseModel& model) {
    return std::make_unique<torch::optim::AdamW>(model.parameters(),
                                                 torch::optim::AdamWOptions(1e-3));
  });
}

// The same with the trainer's optimizer, so that what is left is the trainer's own cost.
void loop_with_pergola_adamw(benchmark::State& state) { hand_written_loop(state, adamw); }

void pergola_trainer(benchmark::State& state) {
  const std::filesystem::path metrics =
      std::filesystem::temp_directory_path() /
      ("pergola_loop_bench." + std::to_string(getpid()) + ".jsonl");
  session().build_model("train", kSeed);
  const std::unique_ptr<BatchSource> loader = session().training_batches(kSeed);
  const std::unique_ptr<Optimizer> optimizer = adamw(session().model());
  TrainerOptions options;
  options.max_updates = kUpdates;
  options.log_interval = 10;
  for (auto _ : state) {
    Trainer trainer({session().model(), *optimizer, nullptr, *loader, {}, c10::Device(c10::kCPU)},
                    options, TrainerState());
    trainer.add_callback("logging", std::make_unique<LoggingCallback>(trainer, metrics, nullptr));
    benchmark::DoNotOptimize(trainer.run());
  }
  std::filesystem::remove(metrics);
  state.SetItemsProcessed(state.iterations() * kUpdates);
}

BENCHMARK(loop_with_torch_adamw)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(loop_with_pergola_adamw)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(pergola_trainer)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace pergola::host

BENCHMARK_MAIN();
