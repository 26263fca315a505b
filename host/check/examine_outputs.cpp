// SPDX-License-Identifier: BSD-3-Clause
// Examinations of what forward() and the losses return.
#include "host/check/examination.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace pergola::host {
namespace {

// What rounding may do where a sample is computed beside others: sums are taken in another order.
constexpr double kTolerance = 1e-4;

bool is_finite(const at::Tensor& tensor) { return at::isfinite(tensor).all().item<bool>(); }

// What is wrong with the scores of `count` samples; "": nothing.
std::string problem_of_scores(const at::Tensor& scores, std::int64_t count) {
  if (!scores.is_floating_point()) {
    return concat("scores are ", scores.scalar_type(), "; expected floating-point logits");
  }
  if (scores.dim() < 2 || scores.size(0) != count) {
    return concat("scores are ", scores.sizes(), " for a batch of ", count, "; expected [", count,
                  ", answers], a row for each sample");
  }
  return is_finite(scores) ? "" : "scores are not finite (NaN or infinite) for finite inputs";
}

std::string problem_of_loss(const std::string& key, const at::Tensor& loss, std::int64_t count) {
  if (!key.starts_with("train/example/")) {
    return concat("the loss '", key,
                  "' is not named \"{dataset_type}/{dataset_name}/{loss}\" after the batch, here "
                  "train/example/...; logs and criteria look for it under that name");
  }
  if (!loss.defined() || (loss.dim() != 0 && !(loss.dim() == 1 && loss.size(0) == count))) {
    return concat("the loss '", key, "' is ", loss.defined() ? concat(loss.sizes()) : "undefined",
                  "; expected a scalar, or one number for each of the ", count, " samples");
  }
  return is_finite(loss) ? "" : concat("the loss '", key, "' is not finite for finite inputs");
}

std::string problem_of_output(const BaseModel& model, const ModelOutput& output) {
  if (output.scores.defined()) {
    std::string problem = problem_of_scores(output.scores, kExampleBatch);
    if (!problem.empty()) return problem;
  }
  static_cast<void>(loss_of(model, output));  // throws where there is none
  for (const auto& [key, loss] : *output.losses) {
    std::string problem = problem_of_loss(key, loss, kExampleBatch);
    if (!problem.empty()) return problem;
  }
  for (const auto& [name, field] : output.fields) {
    if (!field.defined()) return concat("the output's field '", name, "' is undefined");
  }
  return "";
}

std::string describe(const ModelOutput& output) {
  std::vector<std::string> losses;
  for (const auto& [key, loss] : *output.losses) losses.push_back(key);
  return concat(output.scores.defined() ? concat("scores ", output.scores.sizes()) : "no scores",
                ", losses ", some_of(losses));
}

// "image [5, 3, 8, 8], text [5, 9]"; of what is no tensor the name.
std::string describe(const SampleList& batch) {
  std::vector<std::string> parts;
  for (const std::string& name : batch.fields()) {
    try {
      parts.push_back(concat(name, ' ', batch.tensor(name).sizes()));
    } catch (const Error&) {  // a group, or strings
      parts.push_back(name);
    }
  }
  return join(parts);
}

// What goes wrong with a first batch may be the batch's fault, so it is told how that looks.
ModelOutput call_and_tell(BaseModel& model, const SampleList& batch) {
  try {
    return call(model, batch);
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    throw Error(error.kind(), error.what(), "; the batch has ", describe(batch));
  }
}

// The scores of one sample beside others and alone; of dimensions that differ, what both have: what
// is behind it is padding. Relative to the largest score.
double difference_alone(const at::Tensor& beside, const at::Tensor& alone, double largest) {
  at::Tensor a = beside;
  at::Tensor b = alone;
  for (std::int64_t i = 0; i < a.dim(); ++i) {
    const std::int64_t size = std::min(a.size(i), b.size(i));
    a = a.narrow(i, 0, size);
    b = b.narrow(i, 0, size);
  }
  if (a.numel() == 0) return 0;
  return (a - b).abs().max().item<double>() / largest;
}

// The largest difference between a sample's scores beside others and alone. `plan` is of the batch.
double largest_difference(const Subject& subject, BaseModel& model, const BatchPlan& plan) {
  const at::NoGradGuard no_grad;
  const at::Tensor together = call(model, subject.batch(model, plan)).scores.to(at::kDouble);
  const double largest =
      std::max(together.abs().max().item<double>(), std::numeric_limits<double>::min());
  double most = 0;
  for (std::int64_t k = 0; k < plan.count; ++k) {
    BatchPlan one = plan;
    one.first = plan.first + k;
    one.count = 1;
    const at::Tensor alone = call(model, subject.batch(model, one)).scores.to(at::kDouble);
    if (alone.dim() != together.dim()) {
      throw Error(ErrorKind::kPlugin, "scores are ", alone.sizes(), " for a batch of 1, and ",
                  together.sizes(), " for one of ", plan.count,
                  "; expected a row for each sample: squeeze() takes a batch of 1 away, too");
    }
    const double difference = difference_alone(together[k], alone[0], largest);
    if (std::isnan(difference)) return difference;  // std::max would lose it
    most = std::max(most, difference);
  }
  return most;
}

bool has_scores(const Subject& subject, BaseModel& model) {
  const at::NoGradGuard no_grad;
  return call(model, subject.batch(model, {})).scores.defined();
}

// A step of training with each plan. What goes wrong is told with `what` of the plan.
template <class Describe>
void try_steps(const Subject& subject, const std::vector<BatchPlan>& plans, Describe what) {
  for (const BatchPlan& plan : plans) {
    const std::shared_ptr<BaseModel> model = subject.build();
    try {
      differentiate(*model, subject.batch(*model, plan));
    } catch (const Error& error) {
      throw Error(error.kind(), what(plan), ": ", error.what());
    }
  }
}

const at::Tensor& float_field(const SampleList& batch, const std::string& name) {
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos) return batch.tensor(name);
  return batch.group(name.substr(0, dot)).tensor(name.substr(dot + 1));
}

// Whether the losses, or an error, tell of a NaN in that field. A new model each time: what was NaN
// once may stay in its state.
bool is_noticed(const Subject& subject, const std::string& field) {
  const std::shared_ptr<BaseModel> built = subject.build();
  BaseModel& model = *built;
  const SampleList batch = subject.batch(model, {.count = 2, .ragged = false});
  static_cast<void>(loss_of(model, call(model, batch)));  // an error without a NaN tells of none
  at::Tensor(float_field(batch, field)).fill_(std::numeric_limits<double>::quiet_NaN());
  try {
    const at::NoGradGuard no_grad;
    return !is_finite(loss_of(model, call(model, batch)));
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

Finding examine_build(const Subject& subject) {
  const std::shared_ptr<BaseModel> model = subject.build();
  const std::int64_t all = model->num_parameters();
  const std::int64_t trained = model->num_trained_parameters();
  return passed(concat(all, " parameters, ", trained, " of them trained"),
                {{"parameters", static_cast<double>(all)},
                 {"trained_parameters", static_cast<double>(trained)}});
}

Finding examine_contract(const Subject& subject) {
  const std::shared_ptr<BaseModel> model = subject.build();
  const SampleList batch = subject.batch(*model, {.count = kExampleBatch});
  std::string told;
  for (const bool training : {false, true}) {
    model->train(training);
    const ModelOutput output = call_and_tell(*model, batch);
    const std::string problem = problem_of_output(*model, output);
    if (!problem.empty()) {
      return failed(concat(problem, training ? " (in train())" : " (in eval())"));
    }
    told = describe(output);
  }
  return passed(told);
}

Finding examine_batch_sizes(const Subject& subject) {
  try_steps(subject, {{.count = 1}, {.count = 2}, {.count = kExampleBatch}},
            [](const BatchPlan& plan) {
              return concat("a step of training with a batch of ", plan.count);
            });
  const std::shared_ptr<BaseModel> model = subject.build();
  model->eval();
  if (!has_scores(subject, *model)) return passed("batches of 1, 2 and 5; there are no scores");
  const double most =
      largest_difference(subject, *model, {.count = kExampleBatch, .ragged = false});
  const Figures figures = {{"largest_difference", most}};
  if (most <= kTolerance) return passed("a sample has the same scores in each", figures);
  return failed(concat("a sample has other scores alone than in a batch of ", kExampleBatch,
                       ", by ", text_of(most),
                       " of the largest score, in eval(): expected rows that do not depend on each "
                       "other; is a softmax, mean or norm taken over dimension 0?"),
                figures);
}

Finding examine_ragged(const Subject& subject) {
  const ExampleBatches& batches = subject.batches();
  if (subject.sizes().empty()) return skipped("no field has a size that differs");
  BatchPlan smallest{.ragged = false};
  BatchPlan largest{.ragged = false};
  for (const auto& [name, range] : subject.sizes()) {
    smallest.sizes[name] = range.low;
    largest.sizes[name] = range.high;
  }
  try_steps(subject, {smallest, largest}, [](const BatchPlan& plan) {
    std::vector<std::string> sizes;
    for (const auto& [name, size] : plan.sizes) sizes.push_back(concat(name, " = ", size));
    return concat("a step of training with ", join(sizes));
  });
  if (!batches.has_lengths()) {
    return passed("the smallest and the largest sizes; no field says what is padding");
  }
  const std::shared_ptr<BaseModel> model = subject.build();
  model->eval();
  if (!has_scores(subject, *model)) return passed("the smallest and the largest sizes");
  const double most = largest_difference(subject, *model, {.count = kExampleBatch});
  const Figures figures = {{"largest_difference", most}};
  if (most <= kTolerance)
    return passed("a sample has the same scores however it is padded", figures);
  return failed(
      concat("a sample has other scores beside longer ones than alone, by ", text_of(most),
             " of the largest score, in eval(): leave out what is behind its length, "
             "or where the mask is 0"),
      figures);
}

Finding examine_nan(const Subject& subject) {
  const std::vector<std::string> fields = subject.batches().float_fields();
  if (fields.empty()) return skipped("no field holds floating-point numbers");
  std::vector<std::string> lost;
  for (const std::string& field : fields) {
    if (!is_noticed(subject, field)) lost.push_back(field);
  }
  if (lost.empty()) return passed("seen in " + some_of(fields));
  return failed(concat("a NaN in ", some_of(lost),
                       " leaves the losses finite, so nobody learns that the data is broken: does "
                       "the model replace NaN, or not read the field at all?"));
}

}  // namespace pergola::host
