// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pretrained.h"

#include "host/checkpoint/weights.h"
#include "pergola/columns.h"
#include "pergola/error.h"

#include <algorithm>
#include <map>
#include <ranges>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

// A row a weight: its name, its shape in the file and in the model. The first is the heading.
using Rows = std::vector<std::vector<std::string>>;
const std::vector<std::string> kHeading = {"weight", "file", "model"};

std::vector<std::string> names_of(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  return names;
}

// The file's weights under the model's names; and those that are left out, under the file's.
struct Fitted {
  StateDict state;
  Rows left_out = {kHeading};
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
  Rows rows = {kHeading};
  for (const auto& [name, tensor] : state) {
    const at::Tensor& model = models.at(name);
    if (tensor.sizes() == model.sizes()) continue;
    rows.push_back({name, concat(tensor.sizes()), concat(model.sizes())});
  }
  if (rows.size() == 1) return;
  throw Error(ErrorKind::kCheckpoint, path.string(), " (", format, ") has ", rows.size() - 1,
              " of ", state.size(), " weights in other shapes than the model; ",
              "name the parts that fit in checkpoint.pretrained_state_mapping, or, for tables of ",
              "positions, set checkpoint.pretrained_resize_positions = true", columns(rows));
}

PretrainedReport make_report(const StateDict& own, const LoadReport& loaded, const Fitted& fitted,
                             const StateDict& resized) {
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  PretrainedReport report;
  report.missing = loaded.missing_keys;
  report.matched = own.size() - report.missing.size();
  Rows rows = {kHeading};
  for (const std::string& name : report.missing) {
    rows.push_back({name, "missing", concat(models.at(name).sizes())});
  }
  for (const auto& [name, before] : resized) {
    report.resized.push_back(name);
    rows.push_back({name, concat(before.sizes()), concat(models.at(name).sizes(), ", resized")});
  }
  for (const auto& row : fitted.left_out | std::views::drop(1)) {
    report.left_out.push_back(row.front());
    rows.push_back(row);
  }
  report.table = columns(rows);
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
  for (auto& [name, tensor] : weights.state) {
    if (options.hugging_face != nullptr) name = own_name(*options.hugging_face, name);
    name = model.format_state_key(name);
  }
  const StateDict own = state_dict(model);
  Fitted fitted = fit(weights.state, own, options.mapping);
  if (fitted.state.empty()) {
    throw Error(ErrorKind::kCheckpoint, "none of the ", weights.state.size(), " weights in ",
                path.string(), " (", weights.format, ") is the model's, whose first is '",
                own.empty() ? "" : own.front().first, "'; use weights of this model, or say in ",
                "checkpoint.pretrained_state_mapping which part of a name is which",
                columns(fitted.left_out));
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
