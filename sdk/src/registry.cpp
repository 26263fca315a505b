// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/registry.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <atomic>

namespace pergola {
namespace {

// Constant-initialised, so that it is there before any plugin's static constructor runs.
constinit std::atomic<const Announcement*> announced{nullptr};

}  // namespace

const char* kind_name(Kind kind) noexcept {
  constexpr const char* kNames[kKindCount] = {"model",     "loss",      "metric",    "dataset",
                                              "processor", "optimizer", "scheduler", "callback"};
  return kNames[static_cast<std::size_t>(kind)];
}

void announce(Announcement& node) noexcept {
  node.next = announced.load(std::memory_order_relaxed);
  announced.store(&node, std::memory_order_release);
}

const Announcement* take_announcements() noexcept { return announced.exchange(nullptr); }

void Registry::publish(const std::vector<Announcement>& nodes, const std::string& library) {
  std::array<std::map<std::string, Entry, std::less<>>, kKindCount> all = entries_;
  for (const Announcement& node : nodes) {
    auto& entries = all.at(static_cast<std::size_t>(node.kind));
    const auto [place, inserted] = entries.try_emplace(node.key, Entry{node.factory, library});
    if (!inserted) {
      throw Error(ErrorKind::kPlugin, kind_name(node.kind), " '", node.key, "' of ", library,
                  " is already registered by ", place->second.library,
                  "; give one of them another key, or leave its file out of the plugin path");
    }
  }
  entries_ = std::move(all);
}

const Registry::Entry& Registry::find(Kind kind, std::string_view key,
                                      std::string_view where) const {
  const auto& entries = entries_[static_cast<std::size_t>(kind)];
  const auto found = entries.find(key);
  if (found != entries.end()) return found->second;
  throw Error(ErrorKind::kConfig, where.empty() ? "" : concat(where, ": "), kind_name(kind), " '",
              key, "' is not registered", did_you_mean(key, keys(kind)), "; `pergola list ",
              kind_name(kind), kind == Kind::kLoss ? "es" : "s", "` shows all ", entries.size());
}

bool Registry::has(Kind kind, std::string_view key) const {
  const auto& entries = entries_[static_cast<std::size_t>(kind)];
  return entries.find(key) != entries.end();
}

void Registry::require(Kind kind, std::string_view key, std::string_view where) const {
  static_cast<void>(find(kind, key, where));
}

std::vector<std::string> Registry::keys(Kind kind) const {
  std::vector<std::string> names;
  for (const auto& [key, entry] : entries_[static_cast<std::size_t>(kind)]) names.push_back(key);
  return names;
}

const std::string& Registry::library(Kind kind, std::string_view key) const {
  return find(kind, key, "").library;
}

std::shared_ptr<BaseModel> Registry::make_model(std::string_view key, const Config& config,
                                                std::string_view where) const {
  return reinterpret_cast<ModelFactory>(find(Kind::kModel, key, where).factory)(config);
}

std::shared_ptr<Loss> Registry::make_loss(const TypedConfig& config) const {
  const Entry& entry = find(Kind::kLoss, config.type, config.where);
  return reinterpret_cast<LossFactory>(entry.factory)(config.params);
}

std::unique_ptr<Metric> Registry::make_metric(const TypedConfig& config) const {
  const Entry& entry = find(Kind::kMetric, config.type, config.where);
  return reinterpret_cast<MetricFactory>(entry.factory)(config.params);
}

std::unique_ptr<Dataset> Registry::make_dataset(const DatasetOptions& options,
                                                std::string_view where) const {
  const Entry& entry = find(Kind::kDataset, options.name, where);
  return reinterpret_cast<DatasetFactory>(entry.factory)(options);
}

std::unique_ptr<Processor> Registry::make_processor(const TypedConfig& config) const {
  const Entry& entry = find(Kind::kProcessor, config.type, config.where);
  return reinterpret_cast<ProcessorFactory>(entry.factory)(config.params);
}

std::unique_ptr<Optimizer> Registry::make_optimizer(const TypedConfig& config,
                                                    std::vector<ParameterGroup> groups) const {
  const Entry& entry = find(Kind::kOptimizer, config.type, config.where);
  return reinterpret_cast<OptimizerFactory>(entry.factory)(std::move(groups), config.params);
}

std::unique_ptr<Scheduler> Registry::make_scheduler(const TypedConfig& config) const {
  const Entry& entry = find(Kind::kScheduler, config.type, config.where);
  return reinterpret_cast<SchedulerFactory>(entry.factory)(config.params);
}

std::unique_ptr<Callback> Registry::make_callback(const TypedConfig& config) const {
  const Entry& entry = find(Kind::kCallback, config.type, config.where);
  return reinterpret_cast<CallbackFactory>(entry.factory)(config.params);
}

}  // namespace pergola
