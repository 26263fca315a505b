// SPDX-License-Identifier: BSD-3-Clause
// What a session's model says of data: metrics, prediction files, single samples.
#include "host/data/loader.h"
#include "host/model/guard.h"
#include "host/run/session.h"
#include "host/support/file_ops.h"
#include "host/support/log.h"
#include "host/train/predictions.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <list>

namespace pergola::host {
namespace {

Hook dataset_hook(const char* hook, const std::string& name) { return {hook, "dataset", name}; }

}  // namespace

EvaluationInput Session::evaluation_input(const std::string& split) {
  SplitEvaluation& parts = evaluations_[split];
  if (parts.metrics == nullptr) {
    parts.loaders = data_.evaluation_batches(split, batch_transfer());
    parts.metrics = metrics();
  }
  EvaluationInput input{*model_, {}, *parts.metrics, device_};
  for (const auto& loader : parts.loaders) input.loaders.push_back(loader.get());
  input.step = split == "test" ? Step::kTest : Step::kValidation;
  input.precision = config_.training.precision;
  input.use_cpu = config_.evaluation.use_cpu;
  if (config_.training.on_out_of_memory == OnOutOfMemory::kHalve) {
    if (!splitter_) splitter_.emplace(*model_, device_);
    input.splitter = &*splitter_;
  }
  input.recorded = recorded_forward();
  return input;
}

GraphRecorder* Session::graph_recorder(std::string& problem) {
  recorder_asked_ = true;
  if (device_.is_cpu()) {
    problem = "the device is a CPU, and CUDA graphs are for GPUs";
  } else if (recorder_ == nullptr) {
    recorder_ = make_graph_recorder(device_, problem);
  }
  return recorder_.get();
}

void Session::drop_recordings() {
  recorded_forward_.reset();
  if (recorder_) recorder_->release();  // it knows what was told
}

RecordedForward* Session::recorded_forward() {
  const CudaGraphs wanted = config_.training.cuda_graphs;
  if (wanted == CudaGraphs::kOff || device_.is_cpu()) return nullptr;
  if (recorded_forward_ != nullptr) return recorded_forward_.get();
  const bool was_told = recorder_asked_;
  const bool is_required = wanted == CudaGraphs::kOn;
  std::string problem;
  if (GraphRecorder* const recorder = graph_recorder(problem)) {
    recorded_forward_ = std::make_unique<RecordedForward>(
        *recorder, *model_, device_, RecordedForward::Options{config_.model, is_required});
  } else if (!was_told) {
    tell_predictions_not_recorded(config_.model, problem, is_required);
  }
  return recorded_forward_.get();
}

Session::Evaluation Session::evaluate(const std::string& split,
                                      const std::filesystem::path& predictions,
                                      const EvaluationHooks& hooks) {
  EvaluationInput input = evaluation_input(split);
  input.hooks = hooks;
  Evaluation result;
  if (predictions.empty()) {
    result.numbers = host::evaluate(input);
    return result;
  }
  std::map<std::string, std::list<PredictionWriter>> writers;  // of each data set
  for (const auto& loader : evaluations_.at(split).loaders) {
    const std::string& name = loader->options().dataset_name;
    writers[name].emplace_back(predictions / concat(name, "_", split, ".json"));
    const std::filesystem::path table = predictions / concat(name, "_", split, ".csv");
    if (config_.evaluation.predict_csv) {
      writers[name].emplace_back(table);
    } else {
      static_cast<void>(remove_file(table));  // of an earlier evaluation, which this one replaces
    }
  }
  result.numbers = host::evaluate(input, [&](const Report& report) {
    const std::vector<Value> rows = checked_rows(split, report);
    for (PredictionWriter& writer : writers.at(report.batch.dataset_name())) writer.write(rows);
  });
  for (const auto& loader : evaluations_.at(split).loaders) {
    for (PredictionWriter& writer : writers.at(loader->options().dataset_name)) {
      const std::size_t rows = writer.finish();
      log::info("[predict] ", rows, " rows in ", writer.path().string());
      result.files.push_back(writer.path());
    }
  }
  return result;
}

// -inf takes an answer out. NaN and +inf, wherever in a row, are refused, and so is -inf in all of
// it: there is no answer then.
void Session::check_scores(const at::Tensor& scores) const {
  if (!scores.defined() || scores.numel() == 0) return;
  const at::Tensor best = scores.amax(-1);
  const at::Tensor bad = best.isfinite().logical_not();
  const auto count = bad.sum().item<std::int64_t>();
  if (count == 0) return;
  throw Error(ErrorKind::kNan, "the scores of model '", config_.model,
              "' are not finite numbers: ", "the highest is ",
              best.masked_select(bad)[0].item<double>(), " in ", count, " of ", best.numel(),
              best.numel() == 1 ? " sample" : " samples of a batch", ", with the weights of ",
              weights_.string(), "; look for nan and inf in the input ",
              "(features above all), and in these weights: a checkpoint from before the losses ",
              "grew may be sound");
}

std::vector<Value> Session::checked_rows(const std::string& split, const Report& report) {
  check_scores(report.output.scores);
  return rows_of(split, report);
}

std::vector<Value> Session::rows_of(const std::string& split, const Report& report) {
  const std::string& name = report.batch.dataset_name();
  const Dataset& data = data_.evaluated(name, split);
  std::vector<Value> rows = guarded(dataset_hook("format_for_prediction()", name),
                                    [&] { return data.format_for_prediction(report); });
  return guarded(Hook{"format_for_prediction()", "model", config_.model},
                 [&] { return model_->format_for_prediction(std::move(rows), report); });
}

void Session::predict(const Dataset& samples, const RowVisitor& visit) {
  LoaderOptions options;
  options.dataset_name = config_.dataset;
  options.dataset_type = "test";
  options.transfer = batch_transfer();
  DataLoader batches(samples, options);
  MetricList no_metrics({}, registry_);
  EvaluationInput input{*model_, {&batches}, no_metrics, device_, Step::kTest};
  input.precision = config_.training.precision;
  input.recorded = recorded_forward();
  static_cast<void>(host::evaluate(
      input, [&](const Report& report) { visit(checked_rows("test", report), report); }));
}

at::Tensor Session::probabilities(const at::Tensor& scores) {
  return guarded(dataset_hook("probabilities()", config_.dataset),
                 [&] { return dataset("test").probabilities(scores); });
}

}  // namespace pergola::host
