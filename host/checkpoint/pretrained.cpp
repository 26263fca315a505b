// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pretrained.h"

#include "host/checkpoint/weights.h"
#include "pergola/columns.h"
#include "pergola/error.h"

#include <algorithm>
#include <cstdint>
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
  std::set<std::string> other_shapes;  // the model's names of those that are left out for that
};

// What a name of the file's may be today: of an older release; and of Hugging Face.
std::vector<Renaming> renamings_of(const BaseModel& model, const HuggingFaceFormat* hugging_face) {
  const auto current = [&model](const std::string& name) { return model.format_state_key(name); };
  if (hugging_face == nullptr) return {current};
  return {current, [current, hugging_face](const std::string& name) {
            return current(own_name(*hugging_face, name));
          }};
}

// Those that are the model's once they are renamed.
StateDict take_all(const StateDict& state, const std::vector<std::string>& own,
                   const Renaming& rename) {
  const std::set<std::string> known(own.begin(), own.end());
  StateDict all;
  std::map<std::string, std::string> taken;  // the model's name, and the file's
  for (const auto& [name, tensor] : state) {
    const std::string today = rename(name);
    if (!known.contains(today)) continue;
    const auto [first, is_new] = taken.emplace(today, name);
    if (!is_new) {
      throw Error(ErrorKind::kCheckpoint, "the file has both '", first->second, "' and '", name,
                  "' for the model's '", today, "'; name the one that is meant in ",
                  "checkpoint.pretrained_state_mapping, or take one out of the file");
    }
    all.emplace_back(today, tensor);
  }
  return all;
}

Fitted fit(const StateDict& state, const StateDict& own, const StateMapping& mapping,
           const std::vector<Renaming>& renamings) {
  Fitted fitted;
  fitted.state = mapping.empty() ? take_all(state, names_of(own), renamings.back())
                                 : map_state(state, names_of(own), mapping, renamings);
  std::set<const void*> taken;
  for (const auto& [name, tensor] : fitted.state) taken.insert(tensor.unsafeGetTensorImpl());
  for (const auto& [name, tensor] : state) {
    if (taken.contains(tensor.unsafeGetTensorImpl())) continue;
    fitted.left_out.push_back({name, concat(tensor.sizes()), "left out"});
  }
  return fitted;
}

// Those whose shape is not the model's.
Rows other_shapes(const StateDict& state, const StateDict& own) {
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  Rows rows = {kHeading};
  for (const auto& [name, tensor] : state) {
    const at::Tensor& model = models.at(name);
    if (tensor.sizes() == model.sizes()) continue;
    rows.push_back({name, concat(tensor.sizes()), concat(model.sizes())});
  }
  return rows;
}

// Throws when a shape differs, unless such are to be left out.
void check_shapes(Fitted& fitted, const StateDict& own, const std::filesystem::path& path,
                  const std::string& format, bool leave_out) {
  Rows rows = other_shapes(fitted.state, own);
  const std::size_t count = rows.size() - 1;
  if (count == 0) return;
  if (!leave_out || count == fitted.state.size()) {
    throw Error(ErrorKind::kCheckpoint, path.string(), " (", format, ") has ", count, " of ",
                fitted.state.size(), " weights in other shapes than the model; ",
                "name the parts that fit in checkpoint.pretrained_state_mapping, or, for tables ",
                "of positions, set checkpoint.pretrained_resize_positions = true, or leave such ",
                "weights out with checkpoint.bypass_shape_mismatch = true", columns(rows));
  }
  for (auto& row : rows | std::views::drop(1)) {
    fitted.other_shapes.insert(row.front());
    row.back() += ", left out";
    fitted.left_out.push_back(std::move(row));
  }
  std::erase_if(fitted.state,
                [&](const auto& named) { return fitted.other_shapes.contains(named.first); });
}

// Throws for numbers that are packed into bytes: LibTorch keeps such and converts none.
void check_dtypes(const StateDict& state, const StateDict& own, const std::filesystem::path& path) {
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  for (const auto& [name, tensor] : state) {
    const at::ScalarType dtype = tensor.scalar_type();
    const bool is_packed = at::isBitsType(dtype) || dtype == at::kFloat4_e2m1fn_x2;
    if (!is_packed || models.at(name).scalar_type() == dtype) continue;
    throw Error(ErrorKind::kCheckpoint, path.string(), " has ", c10::toString(dtype), " for '",
                name, "', numbers that are packed into bytes, and the model takes ",
                c10::toString(models.at(name).scalar_type()),
                "; use weights that are not quantized, or unpack these in Python");
  }
}

// Takes out what is there all the same: tied weights, one tensor of two names, that the other name
// has filled, and constants that the model makes itself. Returns how many of the model's names are
// filled.
std::size_t count_filled(const StateDict& own, const HuggingFaceFormat* hugging_face,
                         std::vector<std::string>& missing) {
  const std::set<std::string> without(missing.begin(), missing.end());
  std::set<std::pair<const void*, std::int64_t>> filled;  // memory
  const auto memory = [](const at::Tensor& tensor) {
    return std::pair(tensor.const_data_ptr(), tensor.numel());
  };
  for (const auto& [name, tensor] : own) {
    if (!without.contains(name) && tensor.numel() > 0) filled.insert(memory(tensor));
  }
  std::size_t count = own.size() - missing.size();
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  std::erase_if(missing, [&](const std::string& name) {
    const bool is_tied = filled.contains(memory(models.at(name)));
    if (is_tied) ++count;
    return is_tied || (hugging_face != nullptr && is_skipped(*hugging_face, name));
  });
  return count;
}

PretrainedReport make_report(const StateDict& own, const LoadReport& loaded, const Fitted& fitted,
                             const StateDict& resized) {
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  PretrainedReport report;
  report.missing = loaded.missing_keys;
  Rows rows = {kHeading};
  for (const std::string& name : report.missing) {
    if (fitted.other_shapes.contains(name)) continue;  // has a row below
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
  StateDict own = state_dict(model);
  Fitted fitted =
      fit(weights.state, own, options.mapping, renamings_of(model, options.hugging_face));
  if (fitted.state.empty()) {
    throw Error(ErrorKind::kCheckpoint, "none of the ", weights.state.size(), " weights in ",
                path.string(), " (", weights.format, ") is the model's, whose first is '",
                own.empty() ? "" : own.front().first, "'; use weights of this model, or say in ",
                "checkpoint.pretrained_state_mapping which part of a name is which",
                columns(fitted.left_out));
  }
  const StateDict resized =
      options.resize_positions ? resize_position_tables(fitted.state, own) : StateDict();
  check_shapes(fitted, own, path, weights.format, options.bypass_shape_mismatch);
  check_dtypes(fitted.state, own, path);
  // So that the model may take the memory of those that fit.
  weights.state.clear();
  own.clear();
  LoadReport loaded = model.load_state_dict(std::move(fitted.state), Strict::kNo);
  own = state_dict(model);
  const std::size_t filled = count_filled(own, options.hugging_face, loaded.missing_keys);
  PretrainedReport report = make_report(own, loaded, fitted, resized);
  report.matched = filled;
  report.format = weights.format;
  model.on_pretrained_loaded(loaded);
  return report;
}

}  // namespace pergola::host
