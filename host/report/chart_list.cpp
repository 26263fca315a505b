// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/chart_list.h"

#include "pergola/error.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace pergola::host {
namespace {

enum class Group { kLosses, kMetrics, kLearningRate, kGradients, kSpeed, kOther };
constexpr std::array<const char*, 6> kGroupTitles = {
    "Losses", "Metrics", "Learning rate", "Gradients", "Speed and memory", "Other numbers"};

// By group, then by what the chart is called in the file.
using Drafts = std::map<Group, std::map<std::string, ChartDraft>>;

bool is_loss(const Metrics& metrics, const std::string& name) {
  if (name.find("loss") != std::string::npos) return true;
  // Only of losses the trainer keeps a mean since the beginning.
  return std::ranges::any_of(metrics.tracks, [&](const auto& track) {
    return track.second.series.contains(concat(track.first, "/", name, "/avg"));
  });
}

bool is_of_learning_rate(const std::string& name) {
  return name == "lr" || name.starts_with("lr/") || name.starts_with("lr_");
}

// Means of what has a chart, and what the bar of the times shows.
bool is_left_out(const std::string& name) {
  return name.ends_with("/avg") || name.starts_with("system/seconds") ||
         name == "system/updates_per_second";
}

std::string words_of(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return name;
}

// "device peak" of "device_peak_mib".
std::string memory_label(std::string name) {
  constexpr std::string_view kUnit = "_mib";
  if (name.ends_with(kUnit)) name.resize(name.size() - kUnit.size());
  return words_of(std::move(name));
}

constexpr const char* kMemoryChart = "memory";

void add_source(const Metrics& metrics, const std::string& split, const std::string& key,
                const Series& series, Drafts& drafts) {
  const bool of_split = key.starts_with(split + "/");
  const std::string name = of_split ? key.substr(split.size() + 1) : key;
  if (is_left_out(name)) return;
  const auto add = [&](Group group, const std::string& chart, const std::string& title,
                       const std::string& label) {
    ChartDraft& draft = drafts[group][chart];
    draft.title = title;
    draft.noisy = chart != kMemoryChart && group != Group::kLearningRate;
    draft.sources.push_back({split, label, &series});
  };
  constexpr std::string_view kMemory = "system/memory/";
  constexpr std::string_view kSystem = "system/";
  if (is_of_learning_rate(name))
    add(Group::kLearningRate, "lr", "lr", name == "lr" ? split : name.substr(3));
  else if (name.starts_with(kMemory))
    add(Group::kSpeed, kMemoryChart, "memory (MiB)", memory_label(name.substr(kMemory.size())));
  else if (name.starts_with(kSystem))
    add(Group::kSpeed, name, words_of(name.substr(kSystem.size())), split);
  else if (name.find("grad_norm") != std::string::npos)
    add(Group::kGradients, name, name, split);
  else if (is_loss(metrics, name))
    add(Group::kLosses, name, name, split);
  else
    add(of_split ? Group::kMetrics : Group::kOther, name, name, split);
}

bool same(const ChartDraft& one, const ChartDraft& other) {
  return std::ranges::equal(one.sources, other.sources,
                            [](const ChartSource& a, const ChartSource& b) {
                              return a.split == b.split && a.series->rows == b.series->rows &&
                                     a.series->values == b.series->values;
                            });
}

// The sum of one loss is that loss.
void drop_copies_of_total(std::map<std::string, ChartDraft>& losses) {
  const auto total = losses.find("total_loss");
  if (total == losses.end()) return;
  for (auto it = losses.begin(); it != losses.end();) {
    if (it == total || !same(it->second, total->second)) {
      ++it;
      continue;
    }
    total->second.title += " = " + it->first;
    it = losses.erase(it);
  }
}

}  // namespace

std::vector<ChartGroupDraft> list_charts(const Metrics& metrics) {
  Drafts drafts;
  for (const auto& [split, track] : metrics.tracks) {
    for (const auto& [key, series] : track.series) add_source(metrics, split, key, series, drafts);
  }
  drop_copies_of_total(drafts[Group::kLosses]);
  std::vector<ChartGroupDraft> groups;
  for (auto& [group, charts] : drafts) {
    ChartGroupDraft made{kGroupTitles[static_cast<std::size_t>(group)], {}};
    const auto total = charts.find("total_loss");
    if (total != charts.end()) made.charts.push_back(std::move(charts.extract(total).mapped()));
    for (auto& [name, draft] : charts) made.charts.push_back(std::move(draft));
    if (!made.charts.empty()) groups.push_back(std::move(made));
  }
  return groups;
}

}  // namespace pergola::host
