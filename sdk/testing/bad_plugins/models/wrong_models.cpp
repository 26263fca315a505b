// SPDX-License-Identifier: BSD-3-Clause
// The models that have one mistake each. They are compiled once, for to read LibTorch's headers is
// most of the work; a plugin brings the one that its choose.cpp names, or a TinyModel where nothing
// is wrong with its model.
// Legend: B = batch, T = words, D = width, C = answers.
#include "tiny_model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <sys/types.h>
#include <unistd.h>

#include <cfenv>
#include <clocale>
#include <csignal>
#include <random>
#include <stdexcept>
#include <string_view>

extern const char* const bad_plugin_model;

namespace bad_plugins {
namespace {

using pergola::ModelOutput;
using pergola::SampleList;

// ---- what an examination of the model finds ----

// `unused` is a parameter like any other, and nothing depends on it.
class NoGradient final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void build() override {
    TinyModel::build();
    register_parameter("unused", at::zeros({kWidth}));
  }
};

// The square root of 0 is 0, and its derivative infinite: scores and losses look as they should.
class NanGradient final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  at::Tensor features(const SampleList& batch) override {
    const auto features_BD = TinyModel::features(batch);
    return features_BD + at::sqrt(features_BD * 0);
  }
};

// Drops out in eval(), too.
class IgnoresEval final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  at::Tensor features(const SampleList& batch) override {
    constexpr double kShare = 0.2;
    const auto kept_1D = at::dropout(at::ones({1, kWidth}), kShare, /*train=*/true);
    const auto features_BD = TinyModel::features(batch);
    return features_BD * kept_1D.to(features_BD.device());
  }
};

// Its scores depend on how often it was called, be it in train() or eval().
class CountsCalls final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    constexpr double kMore = 0.01;
    return {.scores = scores(batch) * (1 + kMore * static_cast<double>(++calls_))};
  }

 private:
  std::int64_t calls_ = 0;
};

// The scores become sharper with each training step, whose number nobody saves.
class ForgetsState final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    constexpr double kMore = 0.01;
    if (is_training()) ++steps_;
    return {.scores = scores(batch) * (1 + kMore * static_cast<double>(steps_))};
  }

 private:
  std::int64_t steps_ = 0;
};

// What an old release called "answer" is "final_answer" now, and is renamed again and again.
class RenamesKeys final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  std::string format_state_key(const std::string& key) const override {
    return key.ends_with("answer") ? "final_" + key : key;
  }
};

// Its first weights come from a generator of its own.
class DrawsAtRandom final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void build() override {
    TinyModel::build();
    const at::NoGradGuard no_grad;
    words_VD_.normal_(0, 1, at::make_generator<at::CPUGeneratorImpl>(std::random_device()()));
  }
};

// squeeze() takes away the dimension of the batch as well, when that is 1.
class NeedsTwoRows final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  at::Tensor features(const SampleList& batch) override {
    return TinyModel::features(batch).unsqueeze(1).squeeze();
  }
};

// Norms over the batch, in eval(), too: NaN for a sample that is alone.
class ReadsNeighbours final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  at::Tensor features(const SampleList& batch) override {
    const auto features_BD = TinyModel::features(batch);
    return (features_BD - features_BD.mean(0)) /
           features_BD.std(/*dim=*/0, /*unbiased=*/true, /*keepdim=*/false);
  }
};

// Takes what fills short samples up for words.
class ReadsPadding final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  at::Tensor mask(const SampleList& batch) const override {
    return at::ones_like(batch.tensor("text"), words_VD_.options());
  }
};

// Adds and takes away a number next to which bf16 has no room for the scores.
class BreaksInBf16 final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    constexpr double kLarge = 1000;
    return {.scores = scores(batch) + kLarge - kLarge};
  }
};

// Has gradients, and no score that could tell two answers apart.
class LearnsNothing final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    constexpr double kMost = 1e-3;
    return {.scores = at::tanh(scores(batch)) * kMost};
  }
};

// Keeps one MiB of each step.
class LeaksEachStep final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    constexpr std::int64_t kFloats = 1 << 18;
    kept_.push_back(at::ones({kFloats}, words_VD_.options().requires_grad(false)));
    return TinyModel::forward(batch);
  }

 private:
  std::vector<at::Tensor> kept_;
};

// Makes 0 of a NaN in the data, which nobody hears of then.
class SwallowsNan final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  at::Tensor colours(const SampleList& batch) const override {
    return at::nan_to_num(TinyModel::colours(batch));
  }
};

// Returns [B], the score of the best answer, where [B, C] is expected; and a loss, so that nobody
// else looks at it.
class WrongShape final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  bool makes_losses() const override { return true; }
  ModelOutput forward(const SampleList& batch) override {
    const auto scores_BC = scores(batch);
    const auto loss = at::cross_entropy_loss(scores_BC, batch.tensor("targets"));
    const auto key = batch.dataset_type() + "/" + batch.dataset_name() + "/own";
    return {.scores = scores_BC.amax(1), .losses = pergola::LossMap{{key, loss}}};
  }
};

// Reads a number from the device in each step, which waits for all that the device has to do.
class WaitsForDevice final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    ModelOutput output = TinyModel::forward(batch);
    largest_ = std::max(largest_, output.scores.amax().item<double>());
    return output;
  }

 private:
  double largest_ = 0;
};

// Changes in the second training step what other code of the process relies on.
class ChangesState final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    if (is_training() && ++trained_ == 2) change(config().get<std::string>("what"));
    return TinyModel::forward(batch);
  }

 private:
  static void change(const std::string& what) {
    if (what == "dtype") c10::set_default_dtype(caffe2::TypeMeta::Make<double>());
    if (what == "threads") at::set_num_threads(at::get_num_threads() + 1);
    if (what == "grad_mode") at::GradMode::set_enabled(false);
    if (what == "autocast") at::autocast::set_autocast_enabled(at::kCPU, true);
    if (what == "seed") at::manual_seed(7);
    if (what == "locale") std::setlocale(LC_ALL, "C.UTF-8");
    if (what == "rounding") std::fesetround(FE_UPWARD);
    if (what == "signal") std::signal(SIGUSR1, SIG_IGN);
    if (what == "folder") static_cast<void>(!::chdir("/"));
  }

  int trained_ = 0;
};

// ---- what a run finds when it starts ----

class BuildThrows final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void build() override { throw std::runtime_error("the word vectors are missing"); }
};

// What is thrown is no std::exception.
class BuildThrowsInt final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void build() override { throw 42; }  // NOLINT(hicpp-exception-baseclass)
};

class BuildHangs final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void build() override {
    while (true) ::pause();
  }
};

// Has no weights, so there is nothing to train.
class HasNoWeights final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void build() override {}
  ModelOutput forward(const SampleList& batch) override {
    const auto answers = config().get_fact("num_final_outputs", "answers");
    return {.scores = at::zeros({batch.batch_size(), answers})};
  }
};

// Calls a submodule what the host calls its losses.
class TakesNameOfLosses final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void build() override {
    TinyModel::build();
    register_module("losses", std::make_shared<torch::nn::Module>());
  }
};

class ForwardWithoutScores final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }
};

// Reads what no data set of its kind has.
class ReadsMissingField final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ModelOutput forward(const SampleList& batch) override {
    return {.scores = answers(batch.tensor("regions").mean(1))};
  }
};

class CrashesInDestructor final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ~CrashesInDestructor() override { static_cast<void>(std::raise(SIGSEGV)); }
};

// An exception that leaves a destructor ends the process.
class ThrowsInDestructor final : public TinyModel {
 public:
  using TinyModel::TinyModel;
  ~ThrowsInDestructor() override { close_files(); }

 private:
  [[gnu::noinline]] static void close_files() { throw std::runtime_error("the files are open"); }
};

// ---- which of them it is ----

struct Choice {
  std::string_view plugin;
  pergola::Announcement (*node)(const char* key) noexcept;
  const char* key = bad_plugin_model;
  int times = 1;
};

template <class Model>
constexpr auto kModel = &pergola::detail::model_node<Model>;

Choice choose() {
  const Choice all[] = {
      {"no_gradient", kModel<NoGradient>},
      {"nan_gradient", kModel<NanGradient>},
      {"ignores_eval", kModel<IgnoresEval>},
      {"counts_calls", kModel<CountsCalls>},
      {"forgets_state", kModel<ForgetsState>},
      {"renames_keys", kModel<RenamesKeys>},
      {"draws_at_random", kModel<DrawsAtRandom>},
      {"needs_two_rows", kModel<NeedsTwoRows>},
      {"reads_neighbours", kModel<ReadsNeighbours>},
      {"reads_padding", kModel<ReadsPadding>},
      {"breaks_in_bf16", kModel<BreaksInBf16>},
      {"learns_nothing", kModel<LearnsNothing>},
      {"leaks_each_step", kModel<LeaksEachStep>},
      {"swallows_nan", kModel<SwallowsNan>},
      {"wrong_shape", kModel<WrongShape>},
      {"waits_for_device", kModel<WaitsForDevice>},
      {"changes_state", kModel<ChangesState>},
      {"build_throws", kModel<BuildThrows>},
      {"build_throws_int", kModel<BuildThrowsInt>},
      {"build_hangs", kModel<BuildHangs>},
      {"has_no_weights", kModel<HasNoWeights>},
      {"takes_name_of_losses", kModel<TakesNameOfLosses>},
      {"forward_without_scores", kModel<ForwardWithoutScores>},
      {"reads_missing_field", kModel<ReadsMissingField>},
      {"crashes_in_destructor", kModel<CrashesInDestructor>},
      {"throws_in_destructor", kModel<ThrowsInDestructor>},
      {"liar", kModel<TinyModel>, "delivered"},
      {"registers_twice", kModel<TinyModel>, bad_plugin_model, /*times=*/2},
  };
  for (const Choice& choice : all) {
    if (choice.plugin == bad_plugin_model) return choice;
  }
  return {bad_plugin_model, kModel<TinyModel>};
}

const Choice chosen = choose();
pergola::Announcement first = chosen.node(chosen.key);
pergola::Announcement second = chosen.node(chosen.key);

struct Announcer {
  Announcer() noexcept {
    pergola::announce(first);
    if (chosen.times == 2) pergola::announce(second);
  }
};
const Announcer announcer;

}  // namespace
}  // namespace bad_plugins
