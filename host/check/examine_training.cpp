// SPDX-License-Identifier: BSD-3-Clause
// Examinations of training: gradients, updates, what they leave behind.
#include "host/check/examination.h"
#include "host/device/memory.h"
#include "host/device/tensor_memory.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace pergola::host {
namespace {

// A few updates with new samples in each.
void train_some(const Subject& subject, BaseModel& model, Optimizer& optimizer) {
  for (int i = 0; i < kExampleUpdates; ++i) {
    update(model, optimizer,
           subject.batch(model, {.first = i * kExampleBatch, .count = kExampleBatch}));
  }
}

struct Trained {
  StateDict before;
  StateDict after;
};

Trained train_from(const Subject& subject, std::uint64_t seed) {
  const std::shared_ptr<BaseModel> model = subject.build(seed);
  const std::unique_ptr<Optimizer> optimizer = subject.optimizer(*model);
  Trained trained{copy_of(state_dict(*model)), {}};
  train_some(subject, *model, *optimizer);
  trained.after = copy_of(state_dict(*model));
  return trained;
}

double loss_in_eval(BaseModel& model, const SampleList& batch) {
  const at::NoGradGuard no_grad;
  model.eval();
  const double loss = loss_of(model, call(model, batch)).item<double>();
  model.train();
  return loss;
}

// How far one rate brings a new model on one batch.
struct Lesson {
  double lr = 0;
  double first = 0;  // loss
  double last = 0;
  int updates = 0;

  [[nodiscard]] bool is_learnt() const {
    constexpr double kShare = 0.1;
    return std::isfinite(last) && first - last >= (1 - kShare) * std::abs(first);
  }
};

Lesson teach(const Subject& subject, double lr) {
  constexpr int kMost = 150;
  constexpr int kBetween = 10;
  const std::shared_ptr<BaseModel> model = subject.build();
  const std::unique_ptr<Optimizer> optimizer = subject.optimizer(*model, lr);
  const SampleList batch = subject.batch(*model, {.count = 4});
  Lesson lesson{lr, loss_in_eval(*model, batch)};
  lesson.last = lesson.first;
  while (lesson.updates < kMost && !lesson.is_learnt()) {
    for (int i = 0; i < kBetween; ++i) update(*model, *optimizer, batch);
    lesson.updates += kBetween;
    lesson.last = loss_in_eval(*model, batch);
  }
  return lesson;
}

std::string megabytes(std::int64_t bytes) {
  constexpr std::int64_t kMiB = 1 << 20;
  return concat(bytes / kMiB, " MiB");
}

// `name` is that of a parameter, `part` one of it or of a module around it.
bool is_within(const std::string& name, const std::string& part) {
  return name == part || name.starts_with(part + '.');
}

bool is_within_any(const std::string& name, const std::vector<std::string>& parts) {
  return std::ranges::any_of(parts, [&](const std::string& part) { return is_within(name, part); });
}

// Which parameters got a gradient in some updates.
class GradientsSeen {
 public:
  void look_at(const BaseModel& model, int updates) {
    for (const auto& item : model.named_parameters()) {
      const at::Tensor& gradient = item.value().grad();
      if (!gradient.defined()) continue;
      if (!at::isfinite(gradient).all().item<bool>()) {
        throw Error(ErrorKind::kPlugin, "the gradient of ", item.key(), " is not finite in update ",
                    updates, "; training.detect_anomaly = true finds the operation");
      }
      reached_.insert(item.key());
      if (gradient.count_nonzero().item<std::int64_t>() > 0) moved_.insert(item.key());
    }
  }

  [[nodiscard]] Finding judge(const BaseModel& model, const Subject& subject) const {
    std::vector<std::string> trained;
    for (const auto& item : model.named_parameters()) {
      if (item.value().requires_grad()) trained.push_back(item.key());
    }
    std::vector<std::string> left_out;
    std::vector<std::string> still;
    for (const std::string& name : trained) {
      if (is_within_any(name, subject.without_gradient())) continue;
      if (!reached_.contains(name)) left_out.push_back(name);
      if (reached_.contains(name) && !moved_.contains(name)) still.push_back(name);
    }
    const Figures figures = {{"parameters", static_cast<double>(trained.size())},
                             {"without_gradient", static_cast<double>(left_out.size())},
                             {"with_zeros", static_cast<double>(still.size())}};
    if (moved_.empty()) return failed("all gradients are zero: nothing is learnt", figures);
    if (left_out.empty()) {
      const std::string zeros = still.empty() ? "" : concat("; only zeros for ", some_of(still));
      return passed(
          concat("all ", reached_.size(), " parameters", zeros, exceptions(trained, subject)),
          figures);
    }
    return failed(concat(some_of(left_out), " of ", trained.size(),
                         " parameters got no gradient: use it in forward(), let it not require one "
                         "(requires_grad_(false)), or, where it is there on purpose, name it in "
                         "without_gradient of [models.",
                         subject.key(), ".check]"),
                  figures);
  }

 private:
  // What the manifest says that gets none, which another config may use.
  [[nodiscard]] std::string exceptions(const std::vector<std::string>& trained,
                                       const Subject& subject) const {
    std::vector<std::string> kept;
    std::vector<std::string> unknown;
    for (const std::string& part : subject.without_gradient()) {
      const auto is_of_part = [&](const std::string& name) { return is_within(name, part); };
      if (std::ranges::none_of(trained, is_of_part))
        unknown.push_back(part);
      else if (std::ranges::none_of(reached_, is_of_part))
        kept.push_back(part);
    }
    return concat(
        kept.empty() ? "" : "; none on purpose: ", join(kept),
        unknown.empty() ? "" : "; not there, though without_gradient names it: ", join(unknown));
  }

  std::set<std::string> reached_;
  std::set<std::string> moved_;
};

}  // namespace

Finding examine_gradients(const Subject& subject) {
  const std::shared_ptr<BaseModel> model = subject.build();
  const std::unique_ptr<Optimizer> optimizer = subject.optimizer(*model);
  GradientsSeen seen;
  for (int i = 0; i < kExampleUpdates; ++i) {
    update(*model, *optimizer,
           subject.batch(*model, {.first = i * kExampleBatch, .count = kExampleBatch}));
    seen.look_at(*model, i);
  }
  return seen.judge(*model, subject);
}

Finding examine_same_seed(const Subject& subject) {
  const Trained one = train_from(subject, 7);
  const Trained two = train_from(subject, 7);
  for (const auto& [when, a, b] : {std::tuple{"build()", &one.before, &two.before},
                                   std::tuple{"three updates", &one.after, &two.after}}) {
    const std::vector<std::string> names = differing(*a, *b);
    if (names.empty()) continue;
    return failed(concat(some_of(names), " differ after ", when,
                         " between two models of the same seed: draw from LibTorch's generators "
                         "alone, and depend on nothing else (time, addresses, static variables)"));
  }
  return passed(concat("two models agree to the bit after ", kExampleUpdates, " updates"));
}

Finding examine_overfits(const Subject& subject) {
  constexpr double kNothing = 1e-6;
  constexpr double kRates[] = {1e-3, 1e-2, 1e-4};
  Lesson best;
  for (const double lr : kRates) {
    const Lesson lesson = teach(subject, lr);
    if (best.lr == 0 || lesson.last < best.last || std::isnan(best.last)) best = lesson;
    if (best.is_learnt()) break;
  }
  if (std::abs(best.first) < kNothing) {
    return failed(
        "the loss is 0 before anything was learnt, so nothing can be: is there more than "
        "one answer?");
  }
  const std::string told =
      concat("the loss of one batch went from ", text_of(best.first), " to ", text_of(best.last),
             " in ", best.updates, " updates (AdamW, lr ", best.lr, ")");
  const Figures figures = {{"first_loss", best.first},
                           {"last_loss", best.last},
                           {"updates", static_cast<double>(best.updates)},
                           {"lr", best.lr}};
  if (best.is_learnt()) return passed(told, figures);
  return failed(concat(told,
                       ", the best of three rates; expected a tenth: does every field reach "
                       "the scores, and can `targets` be learnt as [models.",
                       subject.key(), ".fields] makes them?"),
                figures);
}

Finding examine_memory(const Subject& subject) {
  constexpr int kWarmUp = 20;
  constexpr int kSteps = 200;
  constexpr std::int64_t kNoise = std::int64_t{32} << 20U;  // of the C library's heap
  const TensorMemory tensors;
  const std::shared_ptr<BaseModel> model = subject.build();
  move_to(*model, subject.device());
  const std::unique_ptr<Optimizer> optimizer = subject.optimizer(*model);
  const SampleList batch = subject.batch(*model, {}).to(subject.device());
  for (int i = 0; i < kWarmUp; ++i) update(*model, *optimizer, batch);
  const std::int64_t tensors_before = tensors.bytes();
  const std::int64_t process_before = process_memory();
  for (int i = kWarmUp; i < kSteps; ++i) update(*model, *optimizer, batch);
  const std::int64_t grown = tensors.bytes() - tensors_before;
  const std::int64_t process_grown = process_memory() - process_before;
  const Figures figures = {{"tensor_bytes", static_cast<double>(tensors.bytes())},
                           {"tensor_growth_bytes", static_cast<double>(grown)},
                           {"process_growth_bytes", static_cast<double>(process_grown)}};
  if (grown > 0) {
    return failed(concat("tensors grew by ", grown, " bytes in ", kSteps - kWarmUp,
                         " steps, while the batches had one size: does the model keep its outputs, "
                         "or a list that grows?"),
                  figures);
  }
  if (process_grown > kNoise) {
    return failed(concat("the process grew by ", megabytes(process_grown), " in ", kSteps - kWarmUp,
                         " steps, beside its tensors: what is never freed?"),
                  figures);
  }
  return passed(
      concat(tensors.bytes(), " bytes of tensors after step ", kWarmUp, " and after step ", kSteps),
      figures);
}

}  // namespace pergola::host
