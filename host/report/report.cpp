// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/report.h"

#include "host/report/assets.h"
#include "host/report/chart_data.h"
#include "host/report/format.h"
#include "host/report/html.h"
#include "host/report/images.h"
#include "host/report/run_facts.h"
#include "host/report/sample_table.h"
#include "host/report/sections.h"
#include "host/report/time_split.h"
#include "host/support/files.h"
#include "host/support/hash.h"
#include "host/support/output_file.h"
#include "pergola/error.h"
#include "pergola/version.h"

#include <chrono>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

struct Part {
  const char* id;
  const char* title;
  Html body;
};

// As a Content-Security-Policy has it: the browser runs this text and no other.
std::string digest_of(const std::string& text) {
  const std::string hex = sha256(text);
  std::string bytes;
  constexpr int kBase = 16;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, kBase));
  }
  return base64(bytes);
}

std::string what_it_is(const RunFacts& facts) {
  std::string text = facts.name_of("model");
  std::string datasets;
  for (const std::string& name : facts.config.datasets()) {
    datasets += (datasets.empty() ? "" : ", ") + name;
  }
  if (datasets.empty()) datasets = facts.name_of("dataset");
  if (!datasets.empty()) text += (text.empty() ? "on " : " on ") + datasets;
  if (facts.metrics.first_time > 0) {
    text += (text.empty() ? "" : ", ") + concat("begun ", date_time(facts.metrics.first_time));
  }
  return text;
}

Html notes_of(const RunFacts& facts) {
  Html items;
  for (const std::string& note : facts.notes) items += fill("item", {{"text", note}});
  return items.empty() ? Html() : fill("notes", {{"items", items}});
}

Html problem_of(const RunFacts& facts) {
  return facts.error.empty() ? Html() : fill("problem", {{"text", facts.error}});
}

std::string experiment_of(const RunFacts& facts) {
  std::string name = facts.config.text("training.experiment_name");
  if (!name.empty()) return name;
  std::error_code ignored;
  const fs::path folder = fs::canonical(facts.folder, ignored);
  return folder.filename().string();
}

double seconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// What cannot be read on the way is noted in `facts`.
std::vector<Part> parts_of(RunFacts& facts, const Curves& curves, std::size_t samples) {
  std::vector<Part> parts;
  parts.push_back({"curves", "Curves", curves_body(curves)});
  parts.push_back({"results", "Results", results_body(facts)});
  parts.push_back({"predictions", "Predictions", predictions_body(facts, samples)});
  parts.push_back({"time", "Where the time went", time_body(facts)});
  parts.push_back({"checkpoints", "Checkpoints", checkpoints_body(facts)});
  parts.push_back({"system", "System", system_body(facts)});
  parts.push_back({"config", "Config", config_body(facts.config)});
  parts.push_back({"log", "Log", log_body(facts.log)});
  return parts;
}

constexpr OutputKind kPage = {"page.html", ErrorKind::kCheckpoint};

// A link that is in the run's folder may be somebody else's, and may lead anywhere.
fs::path unless_link(fs::path path) {
  std::error_code ignored;
  if (!fs::is_symlink(fs::symlink_status(path, ignored))) return path;
  throw unfit_output(path, "it is a link, and these are followed only where you name them", kPage);
}

}  // namespace

std::string report_page(const std::filesystem::path& run, std::size_t samples) {
  RunFacts facts = read_run(run);
  const Curves curves = make_curves(facts.metrics);
  Html links;
  Html sections;
  for (const auto& [id, title, body] : parts_of(facts, curves, samples)) {
    if (body.empty()) continue;
    links += fill("link", {{"id", id}, {"title", title}});
    sections += fill("section", {{"id", id}, {"title", title}, {"body", body}});
  }
  const std::string script = concat(assets::chart_js(), assets::page_js());
  const std::string style(assets::page_css());
  const StateText state = state_text(facts.state);
  std::error_code ignored;
  return fill_page({{"version", PERGOLA_VERSION},
                    {"style", Html(style)},
                    {"style_hash", digest_of(style)},
                    {"script", Html(script)},
                    {"script_hash", digest_of(script)},
                    {"data", script_json(chart_data(curves))},
                    {"experiment", experiment_of(facts)},
                    {"status", state.text},
                    {"status_class", state.style},
                    {"what", what_it_is(facts)},
                    {"problem", problem_of(facts)},
                    {"notes", notes_of(facts)},
                    {"tiles", tiles(facts)},
                    {"links", links},
                    {"sections", sections},
                    {"made", date_time(seconds_now())},
                    {"folder", std::filesystem::absolute(run, ignored).string()}})
      .markup();
}

std::filesystem::path write_report(const std::filesystem::path& run,
                                   const std::optional<std::filesystem::path>& output,
                                   std::size_t samples) {
  const fs::path target = output ? output_file(*output, kPage) : unless_link(run / "report.html");
  expect_replaceable(target, kPage);
  write_file_atomic(target, report_page(run, samples));
  return output.value_or(target);
}

}  // namespace pergola::host
