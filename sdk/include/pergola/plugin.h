// SPDX-License-Identifier: BSD-3-Clause
// All that a plugin needs: the SDK's classes and the registration macros. One line for each class:
//
//   PERGOLA_REGISTER_MODEL(Pythia, "pythia");          constructor: Pythia(const Config& config)
//   PERGOLA_REGISTER_LOSS(FocalLoss, "focal_loss");    constructor: FocalLoss(const Config& params)
//
// METRIC, PROCESSOR, SCHEDULER and CALLBACK take a constructor (const Config& params), DATASET one
// (const DatasetOptions& options), OPTIMIZER one (std::vector<ParameterGroup> groups,
// const Config& params); a loss that is made of others may have one (const Config& params,
// const Registry& registry). At namespace scope of one source file.
//
// A class with `static ComponentSpec spec()` gets its params checked and completed by it.
#pragma once

#include "pergola/abi.h"
#include "pergola/base_model.h"
#include "pergola/callback.h"
#include "pergola/component.h"
#include "pergola/config.h"
#include "pergola/dataset.h"
#include "pergola/error.h"
#include "pergola/log.h"
#include "pergola/loss.h"
#include "pergola/metric.h"
#include "pergola/model_output.h"
#include "pergola/optimizer.h"
#include "pergola/processor.h"
#include "pergola/registry.h"
#include "pergola/report.h"
#include "pergola/rng.h"
#include "pergola/sample_list.h"
#include "pergola/scheduler.h"
#include "pergola/state_dict.h"

namespace pergola::detail {

// Announces itself when the library is loaded.
struct Announcer {
  explicit Announcer(Announcement& node) noexcept { announce(node); }
};

// The factory of a class that is made from its config alone.
template <class Class, class Pointer>
Pointer make_from_config(const Config& config) {
  return Pointer(new Class(config));
}

template <class Class>
std::shared_ptr<Loss> make_loss(const Config& params, const Registry& registry) {
  if constexpr (std::is_constructible_v<Class, const Config&, const Registry&>) {
    return std::make_shared<Class>(params, registry);
  } else {
    return std::make_shared<Class>(params);
  }
}

template <class Class>
std::unique_ptr<Dataset> make_dataset(const DatasetOptions& options) {
  return std::make_unique<Class>(options);
}

template <class Class>
std::unique_ptr<Optimizer> make_optimizer(std::vector<ParameterGroup> groups,
                                          const Config& params) {
  return std::make_unique<Class>(std::move(groups), params);
}

// Class::spec, or null.
template <class Class>
constexpr SpecFunction spec_of() noexcept {
  if constexpr (requires { SpecFunction(&Class::spec); }) {
    return &Class::spec;
  } else {
    return nullptr;
  }
}

// A node for `factory` of Class, which must have the type that its kind promises.
template <class Class, class Factory>
Announcement node(Kind kind, const char* key, Factory factory) noexcept {
  return Announcement{kind, key, reinterpret_cast<void (*)()>(factory), spec_of<Class>(), nullptr};
}

template <class Class>
Announcement model_node(const char* key) noexcept {
  return node<Class>(Kind::kModel, key,
                     ModelFactory(&make_from_config<Class, std::shared_ptr<BaseModel>>));
}
template <class Class>
Announcement loss_node(const char* key) noexcept {
  return node<Class>(Kind::kLoss, key, LossFactory(&make_loss<Class>));
}
template <class Class>
Announcement metric_node(const char* key) noexcept {
  return node<Class>(Kind::kMetric, key,
                     MetricFactory(&make_from_config<Class, std::unique_ptr<Metric>>));
}
template <class Class>
Announcement dataset_node(const char* key) noexcept {
  return node<Class>(Kind::kDataset, key, DatasetFactory(&make_dataset<Class>));
}
template <class Class>
Announcement processor_node(const char* key) noexcept {
  return node<Class>(Kind::kProcessor, key,
                     ProcessorFactory(&make_from_config<Class, std::unique_ptr<Processor>>));
}
template <class Class>
Announcement optimizer_node(const char* key) noexcept {
  return node<Class>(Kind::kOptimizer, key, OptimizerFactory(&make_optimizer<Class>));
}
template <class Class>
Announcement scheduler_node(const char* key) noexcept {
  return node<Class>(Kind::kScheduler, key,
                     SchedulerFactory(&make_from_config<Class, std::unique_ptr<Scheduler>>));
}
template <class Class>
Announcement callback_node(const char* key) noexcept {
  return node<Class>(Kind::kCallback, key,
                     CallbackFactory(&make_from_config<Class, std::unique_ptr<Callback>>));
}

}  // namespace pergola::detail

#define PERGOLA_JOIN_(a, b) a##b
#define PERGOLA_JOIN(a, b) PERGOLA_JOIN_(a, b)
#define PERGOLA_ANNOUNCE_(made_node)                                     \
  static ::pergola::Announcement PERGOLA_JOIN(pergola_node_, __LINE__) = \
      ::pergola::detail::made_node;                                      \
  static const ::pergola::detail::Announcer PERGOLA_JOIN(                \
      pergola_announcer_, __LINE__)(PERGOLA_JOIN(pergola_node_, __LINE__))

#define PERGOLA_REGISTER_MODEL(Class, key) PERGOLA_ANNOUNCE_(model_node<Class>(key))
#define PERGOLA_REGISTER_LOSS(Class, key) PERGOLA_ANNOUNCE_(loss_node<Class>(key))
#define PERGOLA_REGISTER_METRIC(Class, key) PERGOLA_ANNOUNCE_(metric_node<Class>(key))
#define PERGOLA_REGISTER_DATASET(Class, key) PERGOLA_ANNOUNCE_(dataset_node<Class>(key))
#define PERGOLA_REGISTER_PROCESSOR(Class, key) PERGOLA_ANNOUNCE_(processor_node<Class>(key))
#define PERGOLA_REGISTER_OPTIMIZER(Class, key) PERGOLA_ANNOUNCE_(optimizer_node<Class>(key))
#define PERGOLA_REGISTER_SCHEDULER(Class, key) PERGOLA_ANNOUNCE_(scheduler_node<Class>(key))
#define PERGOLA_REGISTER_CALLBACK(Class, key) PERGOLA_ANNOUNCE_(callback_node<Class>(key))
