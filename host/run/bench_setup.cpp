// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/bench_setup.h"

#include "host/callbacks/peak_flops.h"
#include "host/device/device.h"
#include "pergola/error.h"
#include "pergola/suggest.h"
#include "pergola/version.h"

#include <utility>

namespace pergola::host {
namespace {

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kTf32:
      return "tf32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp16:
      return "fp16";
  }
  return "";
}

}  // namespace

BenchPlan::BenchPlan(const BenchRequest& request, bool on_gpu, std::optional<std::int64_t> settling)
    : steps(request.steps),
      windows(request.warm_up),
      profile(windows + request.windows * request.steps),
      settling(settling.value_or(0)),
      compare(profile + (request.trace ? kProfiled : 0)),
      waits(compare + (settling ? request.windows * (*settling + request.steps) : 0)),
      kernels(waits + kCounted),
      flops(kernels + (on_gpu ? kCounted : 0)),
      end(flops + kCounted) {}

void BenchPlan::leave_out_comparison() {
  const std::int64_t left_out = waits - compare;
  for (std::int64_t* each : {&waits, &kernels, &flops, &end}) *each -= left_out;
}

std::string BenchPlan::text(const char* what) const {
  const std::string traced = compare > profile ? concat(compare - profile, " for the trace, ") : "";
  const std::string compared =
      waits > compare
          ? concat(waits - compare, " beside bare replays, unless nothing is replayed, ")
          : "";
  return concat(end, " ", what, ": ", windows, " to warm up, ", (profile - windows) / steps, " x ",
                steps, " that are measured, ", traced, compared, "and ", end - waits,
                " in which operations are counted");
}

double BenchPlan::per_step(std::int64_t count) {
  return static_cast<double>(count) / static_cast<double>(kCounted);
}

BenchReport report_of(const BenchRequest& request, Session& session, BenchWork work) {
  const TrainingConfig& training = session.config().training;
  BenchReport report;
  report.version = PERGOLA_VERSION;
  report.conditions = {session.config().model,
                       join(session.config().datasets),
                       describe_device(session.device()),
                       precision_name(training.precision),
                       training.batch_size,
                       work == BenchWork::kTraining ? training.update_frequency : 1,
                       work,
                       0};
  for (const at::Tensor& parameter : session.model().parameters()) {
    report.conditions.parameters += parameter.numel();
  }
  report.warm_up = request.warm_up;
  report.steps = request.steps;
  report.peak_flops = peak_flops(report.conditions.device, training.precision);
  report.recompute = work == BenchWork::kTraining && training.recompute;
  report.on_gpu = !session.device().is_cpu();
  return report;
}

Spread milliseconds(std::vector<double> seconds) {
  Spread spread = spread_of(std::move(seconds));
  for (double* each : {&spread.median, &spread.p10, &spread.p90}) *each *= 1000;
  return spread;
}

}  // namespace pergola::host
