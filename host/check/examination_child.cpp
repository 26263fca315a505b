// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/examination_child.h"

#include "host/device/cuda.h"
#include "host/device/device.h"
#include "host/model/guard.h"
#include "host/plugin/library.h"
#include "host/run/session.h"
#include "host/support/crash_report.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "host/support/signals.h"
#include "pergola/error.h"

#include <exception>
#include <new>

namespace pergola::host {
namespace {

Finding examine(const Examination& examination, const ExaminedModel& model) {
  Gpu gpu = examination.needs == Needs::kGpuIfThere ? Gpu::find() : Gpu{};
  prepare_cpu(/*num_threads=*/1);
  Registry registry;
  publish_builtins(registry);
  PluginLoader loader(registry, model.policy);
  const PluginManifest& manifest = load_watched(loader, model.file).manifest;
  const auto& format = manifest.models.at(model.key).hugging_face;
  install_weight_reader(format ? &*format : nullptr);
  const Subject subject(registry, model.key, model.config, model.inputs, std::move(gpu));
  return examination.run(subject);
}

void examine_and_report(const Examination& examination, const ExaminedModel& model,
                        const ChildLimits& limits, const ChildReport& report) noexcept {
  init_log(LogLevel::kError);  // what a model logs is about no run
  report_crashes();
  Finding finding;
  try {
    finding = examine(examination, model);
  } catch (const OutOfMemory& error) {  // its advice is about a run
    const std::string text = error.what();
    finding = failed(concat(text.substr(0, text.find(" ran out of memory")), ' ',
                            describe_end({}, limits),
                            "; make the model smaller in `check` of its manifest"));
  } catch (const std::bad_alloc&) {
    finding = failed(concat("the model ", describe_end({}, limits)));
  } catch (const Error& error) {
    finding = failed(error.what());
    // Its advice is about data sets.
    if (error.kind() == ErrorKind::kData) {
      finding.text +=
          concat("; the batch is made of [models.", model.key, ".fields] in plugin.toml");
    }
  } catch (const std::exception& error) {  // LibTorch's messages go on with a stack trace
    const std::string text = error.what();
    finding = failed(text.substr(0, text.find('\n')));
  } catch (...) {
    finding = failed("something was thrown that is no exception");
  }
  report.line(to_json(finding.to_value()));
}

// Of a child that came to its end. The plugin can write there, too.
Finding read_finding(const std::string& report) {
  const std::size_t end = report.find_last_not_of('\n');
  const std::size_t newline = report.rfind('\n', end);
  const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
  try {
    return Finding::parse(from_json(report.substr(begin), "the child's report"));
  } catch (const Error& error) {
    return failed(concat("what was found cannot be read: ", error.what()));
  }
}

// The line of the child's output that begins so, without its beginning; "" when there is none.
std::string line_after(const std::string& output, std::string_view beginning) {
  const std::string text = '\n' + output;
  const std::size_t found = text.rfind(concat('\n', beginning));
  if (found == std::string::npos) return "";
  const std::size_t begin = found + 1 + beginning.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

// What the report of a crash says of the hook: "forward() of model 'm' (plugin p 0.1.0)".
std::string hook_in(const std::string& signal) {
  constexpr std::string_view kBefore = ") in ";
  const std::size_t found = signal.find(kBefore);
  return found == std::string::npos ? "" : signal.substr(found + kBefore.size());
}

// What a child did that did not come to its end, with what the report of its crash says of that.
std::string describe_failure(const ChildEnd& end, const ChildLimits& limits) {
  const std::string signal = line_after(end.output, "error: signal ");
  if (end.how == ChildEnd::How::kKilled && !signal.empty()) {
    const std::string lost = line_after(end.output, "  an exception that nothing caught: ");
    const std::string line = line_after(end.output, "  its line, where it was built with -g: ");
    return concat("crashed with signal ", signal,
                  lost.empty() ? "" : "; an exception that nothing caught: ", lost,
                  line.empty() ? "" : "; its line, where it was built with -g: ", line);
  }
  if (end.how == ChildEnd::How::kTimedOut) {
    const std::string hook = hook_in(signal);
    return concat("the model ", describe_end(end, limits), hook.empty() ? "" : "; it was in ", hook,
                  "; give it more by --time-limit, or make it smaller in `check` of its manifest");
  }
  const std::string said =
      end.last_line.empty() ? "" : concat(" (the last that it wrote: ", end.last_line, ")");
  return concat("the model ", describe_end(end, limits), said);
}

}  // namespace

Finding run_examination(const Examination& examination, const ExaminedModel& model,
                        std::chrono::milliseconds time_limit) {
  ChildLimits limits{.time = time_limit};
  if (examination.needs == Needs::kGpuIfThere && has_gpu_driver()) {
    limits.memory = ChildLimits::kUnlimited;
  }
  const ChildEnd end = run_in_child(
      [&](const ChildReport& report) { examine_and_report(examination, model, limits, report); },
      limits);
  const bool is_done = end.how == ChildEnd::How::kReturned;
  Finding finding = is_done ? read_finding(end.report) : failed(describe_failure(end, limits));
  finding.text = printable_lines(finding.text);
  return finding;
}

}  // namespace pergola::host
