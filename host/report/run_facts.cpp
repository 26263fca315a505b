// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/run_facts.h"

#include "host/checkpoint/names.h"
#include "host/report/format.h"
#include "host/report/run_lock.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostStateBytes = 100'000'000;
constexpr const char* kRunningStatus = "running";  // of a summary.json before the run's end

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_run(const fs::path& folder) {
  return is_there(folder / "metrics.jsonl") || is_there(folder / "summary.json") ||
         is_there(folder / "checkpoints") || is_there(folder / "predictions");
}

// A folder in this one that holds a run, the first by name; empty when there is none.
fs::path run_in(const fs::path& folder) {
  std::set<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (is_run(it->path())) found.insert(it->path());
  }
  return found.empty() ? fs::path() : *found.begin();
}

void expect_run(const fs::path& folder) {
  constexpr const char* kNext = "; name the folder that `pergola train` printed behind `run`";
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (!fs::exists(status)) {
    throw Error(ErrorKind::kCheckpoint, "there is no folder ", folder.string(), kNext);
  }
  if (!fs::is_directory(status)) {
    throw Error(ErrorKind::kCheckpoint, folder.string(), " is a file, expected a run's folder",
                kNext);
  }
  if (is_run(folder)) return;
  const fs::path inner = run_in(folder);
  throw Error(ErrorKind::kCheckpoint, folder.string(),
              " is not the folder of a run: it has none of metrics.jsonl, summary.json, "
              "checkpoints/ and predictions/",
              kNext, inner.empty() ? "" : ", such as " + inner.string());
}

class FactReader {
 public:
  explicit FactReader(const fs::path& folder) { facts_.folder = folder; }

  RunFacts read() {
    read_metrics();
    facts_.summary = read_json("summary.json");
    read_checkpoints();
    read_config();
    read_log();
    find_state();
    return std::move(facts_);
  }

 private:
  void note(const std::string& text) { facts_.notes.push_back(text); }

  // Nothing when it is not there; what cannot be read is noted.
  std::optional<std::string> read(const std::string& name) {
    const fs::path path = facts_.folder / name;
    if (!is_there(path)) return std::nullopt;
    try {
      return read_file(path, ErrorKind::kCheckpoint);
    } catch (const Error& error) {
      note(error.what());
      return std::nullopt;
    }
  }

  // A table, empty when there is none.
  Value read_json(const std::string& name) {
    const std::optional<std::string> text = read(name);
    if (!text || text->size() > kMostStateBytes) return Value::Table{};
    try {
      Value value = from_json(*text, name);
      if (value.is_table()) return value;
      note(name + " is not an object, and was left out");
    } catch (const Error& error) {
      note(error.what());
    }
    return Value::Table{};
  }

  void read_metrics() {
    const std::optional<std::string> text = read("metrics.jsonl");
    if (!text) return;
    facts_.metrics = parse_metrics(*text);
    if (facts_.metrics.damaged_lines > 0) {
      note(concat(grouped(static_cast<std::int64_t>(facts_.metrics.damaged_lines)),
                  facts_.metrics.damaged_lines == 1 ? " line" : " lines",
                  " of metrics.jsonl could not be read, and were left out"));
    }
    if (facts_.metrics.last_is_half_done) {
      note("The last line of metrics.jsonl has no end yet, and was left out");
    }
  }

  // Without its file, that of a checkpoint, which is the same but for comments.
  void read_config() {
    std::optional<std::string> text = read("config.toml");
    if (!text) text = read("predictions/config.toml");  // of `pergola predict`, where no run is
    if (!text) {
      const Value* saved = facts_.checkpoint_state.find("config");
      if (saved == nullptr || !saved->is_string()) return;
      text = saved->as_string();
    }
    try {
      facts_.config = parse_config_list(*text);
    } catch (const Error& error) {
      note(error.what());
    }
  }

  // state.json says of which update a checkpoint is. Those of update_* are not opened, but for one
  // where there is no other: there may be thousands, and their names say it.
  void read_checkpoints() {
    facts_.checkpoints = list_checkpoints(facts_.folder / "checkpoints");
    for (SavedCheckpoint& saved : facts_.checkpoints.list) {
      const bool is_first = facts_.checkpoint_state.as_table().empty();
      if (saved.update && !is_first) continue;
      Value state = read_json(concat("checkpoints/", saved.name, "/", kStateFile));
      const Value* update = state.find("progress.update");
      if (update != nullptr && update->type() == Value::Type::kInteger) {
        saved.update = update->as_integer();
      }
      if (is_first || saved.name == "last") facts_.checkpoint_state = std::move(state);
    }
  }

  void read_log() {
    if (const std::optional<std::string> text = read("log.txt")) facts_.log = shorten_log(*text);
  }

  [[nodiscard]] std::string summary_text(const char* key) const {
    const Value* value = facts_.summary.find(key);
    return value != nullptr && value->is_string() ? value->as_string() : "";
  }

  // Why the summary is of before the run went on; "" when it is not. One that says `running` was
  // written when it did.
  [[nodiscard]] std::string newer_than_summary() const {
    const Value* updates = facts_.summary.find("updates");
    if (updates == nullptr || updates->type() != Value::Type::kInteger ||
        summary_text("status") == kRunningStatus) {
      return "";
    }
    const std::int64_t known = updates->as_integer();
    if (known < facts_.metrics.last_update) return "the last lines of metrics.jsonl";
    const auto& list = facts_.checkpoints.list;
    const auto last = std::ranges::find(list, "last", &SavedCheckpoint::name);
    const bool saved_later = last != list.end() && last->update && known < *last->update;
    return saved_later ? "checkpoints/last" : "";
  }

  void find_state() {
    const std::string newer = newer_than_summary();
    if (!newer.empty()) facts_.summary = Value::Table{};  // nothing in it is of this run's end
    if (is_locked(facts_.folder / ".lock")) {
      facts_.state = RunState::kRunning;
      return;
    }
    if (!newer.empty()) {
      note(concat("summary.json is older than ", newer,
                  ", and was left out: the run was resumed, and ended without writing one"));
    }
    const std::string status = summary_text("status");
    if (status == kRunningStatus) {
      note(
          "summary.json says that the run is going on, but no process that is seen from here holds "
          "its folder: it was killed, or runs on another machine or in another container");
    }
    static const std::pair<const char*, RunState> kStates[] = {
        {"finished", RunState::kFinished},
        {"interrupted", RunState::kInterrupted},
        {"failed", RunState::kFailed},
        {"nan", RunState::kNan}};
    for (const auto& [name, state] : kStates) {
      if (status == name) facts_.state = state;
    }
    facts_.error = summary_text("error");
  }

  RunFacts facts_;
};

// What a summary says that is not of the run's end may be of long ago.
std::optional<BestValue> best_of_summary(const RunFacts& facts) {
  const Value* best = facts.summary.find("best");
  const bool has_ended = facts.state != RunState::kRunning && facts.state != RunState::kEnded;
  if (!has_ended || best == nullptr || !best->is_table()) return std::nullopt;
  const Value* criteria = best->find("criteria");
  const Value* value = best->find("value");
  const Value* update = best->find("update");
  const auto is_number = [](const Value* each) {
    return each != nullptr &&
           (each->type() == Value::Type::kFloat || each->type() == Value::Type::kInteger);
  };
  if (criteria == nullptr || !criteria->is_string() || !is_number(value) || !is_number(update)) {
    return std::nullopt;
  }
  return BestValue{criteria->as_string(), value->as_float(),
                   static_cast<std::int64_t>(update->as_float())};
}

}  // namespace

std::string RunFacts::name_of(const char* key) const {
  std::string configured = config.text(key);
  if (!configured.empty()) return configured;
  for (const Value* table : {&summary, &checkpoint_state}) {
    const Value* value = table->find(key);
    if (value != nullptr && value->is_string()) return value->as_string();
  }
  return "";
}

RunFacts read_run(const fs::path& folder) {
  expect_run(folder);
  return FactReader(folder).read();
}

std::optional<BestValue> best_value(const RunFacts& facts) {
  if (std::optional<BestValue> best = best_of_summary(facts)) return best;
  std::string criteria = facts.config.text("training.early_stop.criteria");
  if (criteria.empty()) return std::nullopt;
  if (!criteria.starts_with("val/")) criteria = "val/" + criteria;
  const Value* setting = facts.config.root.find("training.early_stop.minimize");
  const bool minimize =
      setting == nullptr || setting->type() != Value::Type::kBoolean || setting->as_boolean();
  const auto track = facts.metrics.tracks.find("val");
  if (track == facts.metrics.tracks.end()) return std::nullopt;
  const auto series = track->second.series.find(criteria);
  if (series == track->second.series.end()) return std::nullopt;
  std::optional<BestValue> best;
  for (std::size_t i = 0; i < series->second.values.size(); ++i) {
    const double value = series->second.values[i];
    const bool better = !best || (minimize ? value < best->value : value > best->value);
    if (!std::isfinite(value) || !better) continue;
    const double update = track->second.update[series->second.rows[i]];
    best = BestValue{criteria, value, static_cast<std::int64_t>(update)};
  }
  return best;
}

}  // namespace pergola::host
