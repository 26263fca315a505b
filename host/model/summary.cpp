// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/summary.h"

#include "host/support/log.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <set>

namespace pergola::host {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

std::string with_one_decimal(double number) {
  char text[48];
  std::snprintf(text, sizeof(text), "%.1f", number);
  return text;
}

// "112.0 M"; nothing where all digits are as short.
std::string rounded(std::int64_t count) {
  constexpr std::array<std::pair<double, const char*>, 3> kUnits = {
      {{1e9, " G"}, {1e6, " M"}, {1e3, " k"}}};
  for (const auto& [unit, name] : kUnits) {
    if (static_cast<double>(count) >= unit) {
      return with_one_decimal(static_cast<double>(count) / unit) + name;
    }
  }
  return "";
}

// Adds tensors to the part that their names begin with.
class Parts {
 public:
  void add(const std::string& name, const at::Tensor& tensor, bool is_parameter) {
    if (!tensor.defined() || !seen_.insert(tensor.unsafeGetTensorImpl()).second) return;
    const std::string top = name.substr(0, name.find('.'));
    const auto [found, is_new] = index_.emplace(top, parts_.size());
    if (is_new) parts_.push_back({top});
    ModelPart& part = parts_[found->second];
    part.bytes += static_cast<std::int64_t>(tensor.nbytes());
    if (!is_parameter) return;
    part.parameters += tensor.numel();
    if (tensor.requires_grad()) part.trained += tensor.numel();
  }

  [[nodiscard]] std::vector<ModelPart> take() { return std::move(parts_); }

 private:
  std::vector<ModelPart> parts_;
  std::map<std::string, std::size_t> index_;
  std::set<const void*> seen_;
};

using Row = std::array<std::string, 4>;

Row row_of(const ModelPart& part) {
  return {part.name, std::to_string(part.parameters), std::to_string(part.trained),
          with_one_decimal(static_cast<double>(part.bytes) / kMiB)};
}

}  // namespace

ModelSummary summarize(const BaseModel& model) {
  Parts parts;
  for (const auto& item : model.named_parameters()) parts.add(item.key(), item.value(), true);
  for (const auto& item : model.named_buffers()) parts.add(item.key(), item.value(), false);
  ModelSummary summary;
  summary.parts = parts.take();
  for (const ModelPart& part : summary.parts) {
    summary.parameters += part.parameters;
    summary.trained += part.trained;
    summary.bytes += part.bytes;
  }
  return summary;
}

std::string ModelSummary::total() const {
  const std::string about = rounded(parameters);
  return concat(parameters, " parameters (", about, about.empty() ? "" : ", ",
                with_one_decimal(static_cast<double>(bytes) / kMiB), " MiB), ", trained,
                " of them trained");
}

std::string ModelSummary::table() const {
  std::vector<Row> rows = {{"part", "parameters", "trained", "MiB"}};
  for (const ModelPart& part : parts) rows.push_back(row_of(part));
  rows.push_back(row_of({"all", parameters, trained, bytes}));
  std::array<std::size_t, 4> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    if (!text.empty()) text += '\n';
    text += row[0] + std::string(widths[0] - row[0].size(), ' ');
    for (std::size_t i = 1; i < row.size(); ++i) {
      text += std::string(2 + widths[i] - row[i].size(), ' ') + row[i];
    }
  }
  return text;
}

void log_parts(const BaseModel& model) {
  const ModelSummary summary = summarize(model);
  if (summary.parts.size() <= kMostParts) {
    log::info("[model] its parts:\n", summary.table());
  } else {
    log::debug("[model] its parts:\n", summary.table());
  }
}

}  // namespace pergola::host
