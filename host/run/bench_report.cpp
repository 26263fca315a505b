// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/bench_report.h"

#include "host/support/files.h"
#include "host/support/json.h"
#include "host/support/printable.h"
#include "pergola/columns.h"
#include "pergola/error.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace pergola::host {
namespace {

using Row = std::vector<std::string>;

constexpr double kPercent = 100;

std::string digits(const char* format, double number) {
  char text[64];
  std::snprintf(text, sizeof(text), format, number);
  return text;
}

std::string percent(double share) { return digits("%.1f%%", kPercent * share); }

// "12.3 G"
std::string with_prefix(double number) {
  constexpr std::pair<double, const char*> kPrefixes[] = {
      {1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}};
  for (const auto& [unit, prefix] : kPrefixes) {
    if (number >= unit) return digits("%.3g", number / unit) + prefix;
  }
  return digits("%.3g ", number);
}

std::string speeds(const std::vector<double>& windows) {
  const auto [least, most] = std::ranges::minmax(windows);
  return concat(digits("%.4g", spread_of(windows).median), " (windows ", digits("%.4g", least),
                " to ", digits("%.4g", most), ")");
}

double sum_of(const std::map<std::string, double>& counts) {
  double sum = 0;
  for (const auto& [name, count] : counts) sum += count;
  return sum;
}

std::string waits_text(const BenchReport& report) {
  std::string names;
  for (const auto& [name, count] : report.waits) {
    names += concat(names.empty() ? ": " : ", ", digits("%.3g", count), " x ", name);
  }
  const char* const where = report.on_gpu ? "" : " (counted on the CPU, where they cost nothing)";
  return concat(digits("%.3g", sum_of(report.waits)), " a step", names, where);
}

const char* utilization_key(const BenchReport& report) { return report.recompute ? "hfu" : "mfu"; }

std::string formula(const BenchReport& report) {
  return concat(utilization_key(report),
                " = flops_per_sample * samples_per_second / peak_flops_per_second");
}

// A peak is known of GPUs alone.
void add_flops(const BenchReport& report, std::vector<Row>& rows) {
  if (!report.flops_per_sample) return;
  const double per_second = *report.flops_per_sample * report.speed();
  rows.push_back({"FLOPs", concat(with_prefix(*report.flops_per_sample), "FLOP a sample, ",
                                  with_prefix(per_second), "FLOP/s")});
  const auto utilization = report.utilization();
  rows.push_back({report.recompute ? "HFU" : "MFU",
                  utilization ? concat(percent(*utilization), " = FLOP/s / the device's peak of ",
                                       with_prefix(*report.peak_flops), "FLOP/s in ",
                                       report.conditions.precision)
                              : std::string("not known: this device's peak is not in the table")});
}

void add_graphs(const BenchReport& report, std::vector<Row>& rows) {
  if (report.replayed) {
    rows.push_back({"CUDA graphs", percent(*report.replayed) + " of the steps were replayed"});
  }
  if (!report.loop_overhead()) return;
  rows.push_back(
      {"loop overhead", concat(digits("%.2f%%", kPercent * *report.loop_overhead()), ": ",
                               digits("%.4g", *report.loop_ms), " beside ",
                               digits("%.4g ms", *report.replay_ms), " of a bare replay")});
}

std::string comparison_text(const Comparison& comparison) {
  const char* const verdict =
      comparison.is_slower() ? "slower than is tolerated" : "within what is tolerated";
  return concat(digits("%+.1f%%", comparison.change), " samples/s beside ",
                digits("%.4g", comparison.baseline), " in ", printable(comparison.file), ": ",
                verdict, ", ", digits("-%g%%", comparison.tolerance));
}

Value list_of(const std::vector<double>& numbers) {
  Value::Array list;
  for (const double number : numbers) list.emplace_back(number);
  return list;
}

void add_flops(const BenchReport& report, Value& all) {
  if (!report.flops_per_sample) return;
  all["flops_per_sample"] = *report.flops_per_sample;
  all["flops_per_second"] = *report.flops_per_sample * report.speed();
  if (!report.peak_flops) return;
  all["peak_flops_per_second"] = *report.peak_flops;
  all[utilization_key(report)] = *report.utilization();
  all["utilization_formula"] = formula(report);
}

Value to_value(const Comparison& comparison) {
  return Value::Table{{"file", comparison.file},
                      {"samples_per_second", comparison.baseline},
                      {"change_percent", comparison.change},
                      {"tolerance_percent", comparison.tolerance},
                      {"is_slower", comparison.is_slower()}};
}

// A number above 0.
bool is_speed(const Value* value) {
  const bool is_number = value != nullptr && (value->type() == Value::Type::kFloat ||
                                              value->type() == Value::Type::kInteger);
  return is_number && value->as_float() > 0;
}

}  // namespace

Spread spread_of(std::vector<double> numbers) {
  PERGOLA_ASSERT(!numbers.empty());
  std::ranges::sort(numbers);
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(numbers.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, numbers.size() - 1);
    return std::lerp(numbers[below], numbers[above], place - std::floor(place));
  };
  return {at(0.5), at(0.1), at(0.9)};
}

Value BenchConditions::to_value() const {
  return Value::Table{{"model", model},
                      {"dataset", dataset},
                      {"device", device},
                      {"precision", precision},
                      {"batch_size", batch_size},
                      {"update_frequency", update_frequency},
                      {"work", work == BenchWork::kTraining ? "training" : "prediction"},
                      {"parameters", parameters}};
}

double BenchReport::speed() const { return spread_of(samples_per_second).median; }

std::optional<double> BenchReport::loop_overhead() const {
  if (!loop_ms || !replay_ms) return std::nullopt;
  return *loop_ms / *replay_ms - 1;
}

std::optional<double> BenchReport::utilization() const {
  if (!flops_per_sample || !peak_flops) return std::nullopt;
  return *flops_per_sample * speed() / *peak_flops;
}

Baseline read_baseline(const std::filesystem::path& file) {
  const std::string name = printable(file.string());
  const Value json = from_json(read_file(file, ErrorKind::kConfig), name, ErrorKind::kConfig);
  const Value* const conditions = json.is_table() ? json.find("conditions") : nullptr;
  const Value* const speed = json.is_table() ? json.find("samples_per_second") : nullptr;
  if (conditions == nullptr || !conditions->is_table() || !is_speed(speed)) {
    throw Error(ErrorKind::kConfig, "--baseline ", name, " is no report of a bench: ",
                "expected a table `conditions` and a number `samples_per_second` above 0; ",
                "write one with `pergola bench CONFIG --format json --output FILE`");
  }
  return {file.string(), speed->as_float(), *conditions};
}

Comparison compare_with(const Baseline& baseline, const BenchReport& report, double tolerance) {
  Comparison comparison{baseline.file, baseline.samples_per_second, 0, tolerance, {}};
  comparison.change = kPercent * (report.speed() / baseline.samples_per_second - 1);
  const Value now = report.conditions.to_value();
  for (const auto& [key, value] : now.as_table()) {
    const Value* const before = baseline.conditions.find(key);
    if (before != nullptr && *before == value) continue;
    const std::string was = before == nullptr ? "not said" : to_string(*before);
    comparison.differences.push_back(
        concat(key, " was ", printable(was), " and is ", printable(to_string(value))));
  }
  return comparison;
}

std::string as_text(const BenchReport& report, const Comparison* comparison) {
  const BenchConditions& on = report.conditions;
  std::vector<Row> rows = {{"samples/s", speeds(report.samples_per_second)}};
  if (!report.tokens_per_second.empty()) {
    rows.push_back({"tokens/s", speeds(report.tokens_per_second) + ", without padding"});
  }
  const bool predicts = on.work == BenchWork::kPrediction;
  rows.push_back(
      {predicts ? "latency" : "step", concat(digits("%.4g ms", report.step_ms.median), " (p10 ",
                                             digits("%.4g", report.step_ms.p10), ", p90 ",
                                             digits("%.4g", report.step_ms.p90), ")")});
  if (report.data_wait) {
    rows.push_back({"data wait", percent(*report.data_wait) + " of the time"});
  }
  add_flops(report, rows);
  rows.push_back({"synchronisations", waits_text(report)});
  add_graphs(report, rows);
  if (report.kernels) rows.push_back({"kernels", digits("%.4g a step", *report.kernels)});
  constexpr double kMiB = 1024.0 * 1024.0;
  rows.push_back({"peak memory", digits("%.0f MiB", static_cast<double>(report.peak_bytes) / kMiB) +
                                     (report.on_gpu ? " on the GPU" : " of the process")});
  if (comparison != nullptr) rows.push_back({"baseline", comparison_text(*comparison)});
  const std::string heading =
      concat(on.model, " on ", on.dataset, ", ", on.device, ", ", on.precision, ", batch size ",
             on.batch_size, on.update_frequency == 1 ? "" : concat(" x ", on.update_frequency),
             ": median of ", report.samples_per_second.size(), " x ", report.steps,
             predicts ? " predictions, after " : " steps, after ", report.warm_up);
  return printable(heading) + columns(rows, rows.size()) + '\n';
}

std::string as_json(const BenchReport& report, const Comparison* comparison) {
  Value waits = Value::Table{};
  for (const auto& [name, count] : report.waits) waits.as_table()[name] = count;
  Value all =
      Value::Table{{"version", report.version},
                   {"conditions", report.conditions.to_value()},
                   {"warm_up", report.warm_up},
                   {"steps", report.steps},
                   {"windows", list_of(report.samples_per_second)},
                   {"samples_per_second", report.speed()},
                   {"step_ms", Value::Table{{"median", report.step_ms.median},
                                            {"p10", report.step_ms.p10},
                                            {"p90", report.step_ms.p90}}},
                   {"synchronisations_per_step", sum_of(report.waits)},
                   {"synchronisations", std::move(waits)},
                   {report.on_gpu ? "peak_device_bytes" : "peak_process_bytes", report.peak_bytes}};
  if (!report.tokens_per_second.empty()) {
    all["tokens_per_second"] = spread_of(report.tokens_per_second).median;
  }
  if (report.data_wait) all["data_wait_share"] = *report.data_wait;
  if (report.replayed) all["replayed_share"] = *report.replayed;
  if (const auto overhead = report.loop_overhead()) {
    all["loop_ms"] = *report.loop_ms;
    all["replay_ms"] = *report.replay_ms;
    all["loop_overhead"] = *overhead;
  }
  if (report.kernels) all["kernels_per_step"] = *report.kernels;
  add_flops(report, all);
  if (comparison != nullptr) all["baseline"] = to_value(*comparison);
  return to_json(all, /*indent=*/2) + '\n';
}

}  // namespace pergola::host
