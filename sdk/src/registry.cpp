// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/registry.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <atomic>
#include <type_traits>
#include <utility>

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

void Registry::publish(const std::vector<Announcement>& nodes, const std::string& library,
                       const Specs& specs) {
  std::array<std::map<std::string, Entry, std::less<>>, kKindCount> all = entries_;
  for (const Announcement& node : nodes) {
    auto& entries = all.at(static_cast<std::size_t>(node.kind));
    std::optional<ComponentSpec> spec;
    if (node.spec != nullptr) {
      spec = node.spec();
    } else if (const auto known = specs.find({node.kind, node.key}); known != specs.end()) {
      spec = known->second;
    }
    const auto [place, inserted] =
        entries.try_emplace(node.key, Entry{node.factory, std::move(spec), library});
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

std::unique_ptr<Dataset> Registry::make_dataset(const DatasetOptions& options,
                                                std::string_view where) const {
  const Entry& entry = find(Kind::kDataset, options.name, where);
  return reinterpret_cast<DatasetFactory>(entry.factory)(options);
}

// Makes what `config` names from its complete params and `arguments`, in the factory's order.
template <class Factory, class... Arguments>
auto Registry::make(Kind kind, const TypedConfig& config, Arguments&&... arguments) const {
  const Entry& entry = find(kind, config.type, config.where);
  const Config params = entry.spec ? entry.spec->complete(config.params) : config.params;
  const auto factory = reinterpret_cast<Factory>(entry.factory);
  if constexpr (std::is_invocable_v<Factory, Arguments..., const Config&>) {
    return factory(std::forward<Arguments>(arguments)..., params);
  } else {
    return factory(params, std::forward<Arguments>(arguments)...);
  }
}

std::shared_ptr<Loss> Registry::make_loss(const TypedConfig& config) const {
  return make<LossFactory>(Kind::kLoss, config, *this);
}

std::unique_ptr<Metric> Registry::make_metric(const TypedConfig& config) const {
  return make<MetricFactory>(Kind::kMetric, config);
}

std::unique_ptr<Processor> Registry::make_processor(const TypedConfig& config) const {
  return make<ProcessorFactory>(Kind::kProcessor, config);
}

std::unique_ptr<Optimizer> Registry::make_optimizer(const TypedConfig& config,
                                                    std::vector<ParameterGroup> groups) const {
  return make<OptimizerFactory>(Kind::kOptimizer, config, std::move(groups));
}

std::unique_ptr<Scheduler> Registry::make_scheduler(const TypedConfig& config) const {
  return make<SchedulerFactory>(Kind::kScheduler, config);
}

std::unique_ptr<Callback> Registry::make_callback(const TypedConfig& config) const {
  return make<CallbackFactory>(Kind::kCallback, config);
}

const std::optional<ComponentSpec>& Registry::spec(Kind kind, std::string_view key) const {
  return find(kind, key, "").spec;
}

}  // namespace pergola
