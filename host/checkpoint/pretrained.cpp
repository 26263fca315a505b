// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pretrained.h"

#include "host/checkpoint/weights.h"
#include "pergola/error.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

// A weight that differs between file and model.
struct Row {
  std::string name;
  std::string in_file;
  std::string in_model;
};

std::string table_of(const std::vector<Row>& rows) {
  constexpr std::size_t kMost = 40;
  std::vector<Row> lines = {{"weight", "file", "model"}};
  const std::size_t shown = std::min(kMost, rows.size());
  lines.insert(lines.end(), rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(shown));
  std::size_t name_width = 0;
  std::size_t file_width = 0;
  for (const Row& line : lines) {
    name_width = std::max(name_width, line.name.size());
    file_width = std::max(file_width, line.in_file.size());
  }
  std::string table;
  for (Row line : lines) {
    line.name.resize(name_width, ' ');
    line.in_file.resize(file_width, ' ');
    table += concat("\n  ", line.name, "  ", line.in_file, "  ", line.in_model);
  }
  if (rows.size() > shown) table += concat("\n  and ", rows.size() - shown, " more");
  return table;
}

std::vector<std::string> names_of(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  return names;
}

// The file's weights under the model's names; and those that are left out, under the file's.
struct Fitted {
  StateDict state;
  std::vector<Row> left_out;
};

Fitted fit(const StateDict& state, const StateDict& own, const StateMapping& mapping) {
  Fitted fitted;
  fitted.state = mapping.empty() ? state : map_state(state, names_of(own), mapping);
  if (mapping.empty()) {
    const std::vector<std::string> known = names_of(own);
    const std::set<std::string> names(known.begin(), known.end());
    std::erase_if(fitted.state, [&](const auto& weight) { return !names.contains(weight.first); });
  }
  std::set<const void*> taken;
  for (const auto& [name, tensor] : fitted.state) taken.insert(tensor.unsafeGetTensorImpl());
  for (const auto& [name, tensor] : state) {
    if (taken.contains(tensor.unsafeGetTensorImpl())) continue;
    fitted.left_out.push_back({name, concat(tensor.sizes()), "left out"});
  }
  return fitted;
}

// Throws when a shape differs.
void check_shapes(const StateDict& state, const StateDict& own, const std::filesystem::path& path,
                  const std::string& format) {
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  std::vector<Row> rows;
  for (const auto& [name, tensor] : state) {
    const at::Tensor& model = models.at(name);
    if (tensor.sizes() == model.sizes()) continue;
    rows.push_back({name, concat(tensor.sizes()), concat(model.sizes())});
  }
  if (rows.empty()) return;
  throw Error(ErrorKind::kCheckpoint, path.string(), " (", format, ") has ", rows.size(), " of ",
              state.size(), " weights in other shapes than the model; ",
              "name the parts that fit in checkpoint.pretrained_state_mapping, or, for tables of ",
              "positions, set checkpoint.pretrained_resize_positions = true", table_of(rows));
}

PretrainedReport make_report(const StateDict& own, const LoadReport& loaded, const Fitted& fitted,
                             const StateDict& resized) {
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  PretrainedReport report;
  report.missing = loaded.missing_keys;
  report.matched = own.size() - report.missing.size();
  std::vector<Row> rows;
  for (const std::string& name : report.missing) {
    rows.push_back({name, "missing", concat(models.at(name).sizes())});
  }
  for (const auto& [name, before] : resized) {
    report.resized.push_back(name);
    rows.push_back({name, concat(before.sizes()), concat(models.at(name).sizes(), ", resized")});
  }
  for (const Row& row : fitted.left_out) report.left_out.push_back(row.name);
  rows.insert(rows.end(), fitted.left_out.begin(), fitted.left_out.end());
  report.table = table_of(rows);
  return report;
}

}  // namespace

std::string PretrainedReport::summary() const {
  std::string text =
      concat("took ", matched, " of the model's ", matched + missing.size(), " weights (", format,
             "); ", missing.size(), " missing in it, ", left_out.size(), " left out of it");
  if (!resized.empty()) text += concat(", ", resized.size(), " got another length");
  return text;
}

PretrainedReport load_pretrained(BaseModel& model, const std::filesystem::path& path,
                                 const PretrainedOptions& options) {
  Weights weights = read_weights(path);
  for (auto& [name, tensor] : weights.state) name = model.format_state_key(name);
  const StateDict own = state_dict(model);
  Fitted fitted = fit(weights.state, own, options.mapping);
  if (fitted.state.empty()) {
    throw Error(ErrorKind::kCheckpoint, "none of the ", weights.state.size(), " weights in ",
                path.string(), " (", weights.format, ") is the model's, whose first is '",
                own.empty() ? "" : own.front().first, "'; use weights of this model, or say in ",
                "checkpoint.pretrained_state_mapping which part of a name is which",
                table_of(fitted.left_out));
  }
  const StateDict resized =
      options.resize_positions ? resize_position_tables(fitted.state, own) : StateDict();
  check_shapes(fitted.state, own, path, weights.format);
  const LoadReport loaded = model.load_state_dict(fitted.state, Strict::kNo);
  PretrainedReport report = make_report(own, loaded, fitted, resized);
  report.format = weights.format;
  model.on_pretrained_loaded(loaded);
  return report;
}

}  // namespace pergola::host
