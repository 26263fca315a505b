// SPDX-License-Identifier: BSD-3-Clause
// The registry: which key is made by which factory, and which file brought it. A plugin's static
// constructors do nothing but link a POD node into the SDK's announce list; after a load that went
// well the host takes the list and publishes the factories. Look-ups are thread-safe once loading
// is over; publishing is not.
#pragma once

#include "pergola/base_model.h"
#include "pergola/callback.h"
#include "pergola/component.h"
#include "pergola/config.h"
#include "pergola/dataset.h"
#include "pergola/loss.h"
#include "pergola/metric.h"
#include "pergola/optimizer.h"
#include "pergola/processor.h"
#include "pergola/scheduler.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pergola {

class Registry;

enum class Kind { kModel, kLoss, kMetric, kDataset, kProcessor, kOptimizer, kScheduler, kCallback };
inline constexpr std::size_t kKindCount = 8;

// "model", "loss", ...: as in messages and in a manifest's [provides].
[[nodiscard]] PERGOLA_API const char* kind_name(Kind kind) noexcept;

// What makes an object of each kind. `params` is the config of the implementation; where the class
// has a spec(), it is complete (component.h). A loss of losses is made from the registry as well.
using ModelFactory = std::shared_ptr<BaseModel> (*)(const Config& config);
using LossFactory = std::shared_ptr<Loss> (*)(const Config& params, const Registry& registry);
using MetricFactory = std::unique_ptr<Metric> (*)(const Config& params);
using DatasetFactory = std::unique_ptr<Dataset> (*)(const DatasetOptions& options);
using ProcessorFactory = std::unique_ptr<Processor> (*)(const Config& params);
using OptimizerFactory = std::unique_ptr<Optimizer> (*)(std::vector<ParameterGroup> groups,
                                                        const Config& params);
using SchedulerFactory = std::unique_ptr<Scheduler> (*)(const Config& params);
using CallbackFactory = std::unique_ptr<Callback> (*)(const Config& params);

using SpecFunction = ComponentSpec (*)();

// One announced class. Lives in the plugin's data segment; never freed.
struct Announcement {
  Kind kind;
  const char* key;
  void (*factory)();  // the factory, cast; its real type follows from `kind`
  SpecFunction spec;  // null when the class has none: its constructor checks the params
  const Announcement* next;
};

// Links `node` into the announce list.  [static constructors; dlopen holds the loader's lock]
PERGOLA_API void announce(Announcement& node) noexcept;
// Takes all nodes announced since the last call; the list is empty then.  [host only]
[[nodiscard]] PERGOLA_API const Announcement* take_announcements() noexcept;

// What is known of classes that do not say it themselves.
using Specs = std::map<std::pair<Kind, std::string>, ComponentSpec>;

class PERGOLA_API Registry {
 public:
  // Adds the factories of one library, all or none. `library` is its path, or "host"; `specs` are
  // for classes without a spec(). Throws Error{kPlugin} when a key is taken or announced twice;
  // both files are named.
  void publish(const std::vector<Announcement>& nodes, const std::string& library,
               const Specs& specs = {});

  // Make an object. Throw Error{kConfig} for an unknown key; the message lists what there is and
  // the closest one. `where` says where the key was written; it may be empty.
  [[nodiscard]] std::shared_ptr<BaseModel> make_model(std::string_view key, const Config& config,
                                                      std::string_view where = "") const;
  [[nodiscard]] std::shared_ptr<Loss> make_loss(const TypedConfig& config) const;
  [[nodiscard]] std::unique_ptr<Metric> make_metric(const TypedConfig& config) const;
  [[nodiscard]] std::unique_ptr<Dataset> make_dataset(const DatasetOptions& options,
                                                      std::string_view where = "") const;
  [[nodiscard]] std::unique_ptr<Processor> make_processor(const TypedConfig& config) const;
  [[nodiscard]] std::unique_ptr<Optimizer> make_optimizer(const TypedConfig& config,
                                                          std::vector<ParameterGroup> groups) const;
  [[nodiscard]] std::unique_ptr<Scheduler> make_scheduler(const TypedConfig& config) const;
  [[nodiscard]] std::unique_ptr<Callback> make_callback(const TypedConfig& config) const;

  [[nodiscard]] bool has(Kind kind, std::string_view key) const;
  // Throws the error of the make_ functions when the key is unknown.
  void require(Kind kind, std::string_view key, std::string_view where = "") const;
  // All keys of a kind, sorted.
  [[nodiscard]] std::vector<std::string> keys(Kind kind) const;
  // The library that brought a key.  REQUIRES: has(kind, key).
  [[nodiscard]] const std::string& library(Kind kind, std::string_view key) const;
  // What is known of the class; nothing when it does not say.  REQUIRES: has(kind, key).
  [[nodiscard]] const std::optional<ComponentSpec>& spec(Kind kind, std::string_view key) const;

 private:
  struct Entry {
    void (*factory)();
    std::optional<ComponentSpec> spec;
    std::string library;
  };
  [[nodiscard]] const Entry& find(Kind kind, std::string_view key, std::string_view where) const;
  template <class Factory, class... Arguments>
  [[nodiscard]] auto make(Kind kind, const TypedConfig& config, Arguments&&... arguments) const;

  std::array<std::map<std::string, Entry, std::less<>>, kKindCount> entries_;
};

}  // namespace pergola
