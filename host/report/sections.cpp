// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/sections.h"

#include "host/report/chart_data.h"
#include "host/report/format.h"
#include "host/report/svg.h"
#include "pergola/error.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// A value of the summary, or else of the checkpoint, as text; "" without one.
std::string fact(const RunFacts& facts, std::string_view path) {
  for (const Value* table : {&facts.summary, &facts.checkpoint_state}) {
    const Value* value = table->find(path);
    if (value == nullptr || value->is_null()) continue;
    return value->is_string() ? value->as_string() : to_string(*value);
  }
  return "";
}

std::string plural(std::int64_t count, const char* thing) {
  return grouped(count) + " " + thing + (count == 1 ? "" : "s");
}

Html tile(const std::string& name, const std::string& value, const std::string& more) {
  return value.empty() ? Html() : fill("tile", {{"name", name}, {"value", value}, {"more", more}});
}

Html best_tiles(const RunFacts& facts) {
  const std::optional<BestValue> best = best_value(facts);
  if (!best) return {};
  Html tiles = tile("Best " + best->criteria, short_number(best->value),
                    "at update " + grouped(best->update));
  if (!best->criteria.starts_with("val/")) return tiles;
  const std::string of_test = "test/" + best->criteria.substr(4);
  for (const FinalLine& line : facts.metrics.final_lines) {
    const auto found = line.numbers.find(of_test);
    if (found == line.numbers.end()) continue;
    tiles += tile(of_test, short_number(found->second), "weights of " + line.checkpoint);
  }
  return tiles;
}

std::int64_t updates_of(const RunFacts& facts) {
  const Value* updates = facts.summary.find("updates");
  const bool known = updates != nullptr && updates->type() == Value::Type::kInteger;
  return std::max(facts.metrics.last_update, known ? updates->as_integer() : 0);
}

}  // namespace

StateText state_text(RunState state) {
  switch (state) {
    case RunState::kFinished:
      return {"finished", "finished"};
    case RunState::kInterrupted:
      return {"interrupted", "interrupted"};
    case RunState::kFailed:
      return {"failed", "failed"};
    case RunState::kNan:
      return {"nan", "stopped: not a finite number"};
    case RunState::kRunning:
      return {"running", "running"};
    case RunState::kEnded:
      break;
  }
  return {"ended", "no end recorded"};
}

Html tiles(const RunFacts& facts) {
  Html all = best_tiles(facts);
  const std::int64_t epochs = facts.metrics.last_epoch;
  all += tile("Updates", grouped(updates_of(facts)), epochs > 0 ? plural(epochs, "epoch") : "");
  const double span = facts.metrics.last_time - facts.metrics.first_time;
  const Value* seconds = facts.summary.find("seconds");
  if (span > 0)
    all += tile("Time", duration(span), "from the first log line to the last");
  else if (seconds != nullptr && seconds->type() == Value::Type::kFloat)
    all += tile("Time", duration(seconds->as_float()), "of the last process");
  const std::string device = fact(facts, "device");  // "cuda:0 (NVIDIA H100)"
  const std::size_t name = device.find(" (");
  all += tile("Device", device.substr(0, name),
              name == std::string::npos ? "" : device.substr(name + 1));
  return all;
}

Html curves_body(const Curves& curves) {
  if (curves.charts.empty()) return {};
  Html axes;
  if (curves.updates_per_epoch > 0) axes += fill("axis", {{"value", "epoch"}, {"label", "epochs"}});
  if (curves.seconds > 0) axes += fill("axis", {{"value", "time"}, {"label", "time"}});
  Html body = fill("toolbar", {{"axes", axes}, {"smoothing", digits_of(curves.smoothing, 2)}});
  Html charts;
  std::size_t number = 0;
  for (const Chart& chart : curves.charts) charts += draw_chart(chart, curves, chart_id(number++));
  body += fill("charts", {{"charts", charts}});
  if (curves.left_out > 0) {
    body +=
        fill("pause", {{"text", plural(static_cast<std::int64_t>(curves.left_out), "more chart") +
                                    " left out: see metrics.jsonl"}});
  }
  return body;
}

Html results_body(const RunFacts& facts) {
  std::map<std::string, const FinalLine*> by_split;  // the last line of each
  std::set<std::string> names;
  for (const FinalLine& line : facts.metrics.final_lines) {
    by_split[line.split] = &line;
    for (const auto& [key, number] : line.numbers) {
      if (key.starts_with(line.split + "/")) names.insert(key.substr(line.split.size() + 1));
    }
  }
  if (names.empty()) return {};
  Html heads;
  for (const auto& [split, line] : by_split) {
    heads += fill("result_head", {{"split", split}, {"of", "weights of " + line->checkpoint}});
  }
  Html rows;
  for (const std::string& name : names) {
    Html cells;
    for (const auto& [split, line] : by_split) {
      const auto found = line->numbers.find(concat(split, "/", name));
      const bool known = found != line->numbers.end();
      cells += fill("number_cell", {{"text", known ? short_number(found->second) : ""}});
    }
    rows += fill("result_row", {{"name", name}, {"cells", cells}});
  }
  return fill("results", {{"heads", heads}, {"rows", rows}});
}

Html checkpoints_body(const RunFacts& facts) {
  const SavedCheckpoints& all = facts.checkpoints;
  if (all.list.empty()) return {};
  Html rows;
  for (const SavedCheckpoint& saved : all.list) {
    rows += fill("checkpoint", {{"name", saved.name},
                                {"update", saved.update ? grouped(*saved.update) : "?"},
                                {"size", size_text(saved.bytes)},
                                {"state", saved.problem.empty() ? "complete" : saved.problem}});
  }
  const auto count = static_cast<std::int64_t>(all.list.size());
  return fill(
      "checkpoints",
      {{"summary", plural(count, "checkpoint") + ", " + size_text(all.bytes) +
                       " on the disk. Complete ones have all of their files, each of its size;"},
       {"rows", rows}});
}

Html system_body(const RunFacts& facts) {
  Html rows;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) rows += fill("fact", {{"name", name}, {"value", value}});
  };
  std::string datasets;
  for (const std::string& name : facts.config.datasets()) {
    datasets += (datasets.empty() ? "" : ", ") + name;
  }
  add("Pergola", fact(facts, "version"));
  add("Model", facts.name_of("model"));
  add("Data", datasets.empty() ? fact(facts, "dataset") : datasets);
  const std::string plugin = fact(facts, "plugin.name");
  add("Plugin", plugin.empty() ? "" : plugin + " " + fact(facts, "plugin.version"));
  add("Plugin file", fact(facts, "plugin.file"));
  add("Plugin SHA-256", fact(facts, "plugin.sha256"));
  add("Device", fact(facts, "device"));
  add("Seed", fact(facts, "seed"));
  add("Training samples", fact(facts, "train_samples"));
  if (facts.metrics.first_time > 0) {
    add("First log line", date_time(facts.metrics.first_time));
    add("Last log line", date_time(facts.metrics.last_time));
  }
  return rows.empty() ? Html() : fill("facts", {{"rows", rows}});
}

Html config_body(const ConfigList& config) {
  if (config.entries.empty()) return {};
  const bool has_origins = config.has_origins();
  Html rows;
  for (const ConfigEntry& entry : config.entries) {
    const bool is_set = !entry.origin.empty() && entry.origin != "defaults";
    rows += fill("config_row",
                 {{"class", is_set ? "set" : ""},
                  {"key", entry.key},
                  {"value", entry.value},
                  {"origin", has_origins ? fill("origin", {{"text", entry.origin}}) : Html()}});
  }
  return fill("config", {{"count", grouped(static_cast<std::int64_t>(config.entries.size()))},
                         {"head", has_origins ? fill("origin_head", {}) : Html()},
                         {"rows", rows}});
}

Html log_body(const LogText& log) {
  if (log.lines == 0) return {};
  Html body;
  if (!log.warnings.empty()) {
    std::string text;
    for (const std::string& line : log.warnings) text += line + "\n";
    const auto count = static_cast<std::int64_t>(log.all_warnings);
    body += fill("log", {{"title", "Warnings and errors: " + grouped(count)}, {"text", text}});
  }
  body += fill("log", {{"title", "All: " + plural(static_cast<std::int64_t>(log.lines), "line")},
                       {"text", log.text}});
  return body;
}

}  // namespace pergola::host
