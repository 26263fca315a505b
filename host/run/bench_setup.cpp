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

BenchPlan::BenchPlan(const BenchRequest& request, bool on_gpu)
    : steps(request.steps),
      windows(request.warm_up),
      profile(windows + request.windows * request.steps),
      waits(profile + (request.trace ? kProfiled : 0)),
      kernels(waits + kCounted),
      flops(kernels + (on_gpu ? kCounted : 0)),
      end(flops + kCounted) {}

std::string BenchPlan::text(const char* what) const {
  const std::string traced = waits > profile ? concat(waits - profile, " for the trace, ") : "";
  return concat(end, " ", what, ": ", windows, " to warm up, ", (profile - windows) / steps, " x ",
                steps, " that are measured, ", traced, "and ", end - waits,
                " in which operations are counted");
}

double BenchPlan::per_step(std::int64_t count) {
  return static_cast<double>(count) / static_cast<double>(kCounted);
}

BenchReport report_of(const BenchRequest& request, const Session& session, BenchWork work) {
  const TrainingConfig& training = session.config().training;
  BenchReport report;
  report.version = PERGOLA_VERSION;
  report.conditions = {session.config().model,
                       join(session.config().datasets),
                       describe_device(session.device()),
                       precision_name(training.precision),
                       training.batch_size,
                       work == BenchWork::kTraining ? training.update_frequency : 1,
                       work};
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
