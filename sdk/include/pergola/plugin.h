// SPDX-License-Identifier: BSD-3-Clause
// All that a plugin needs: the SDK's classes and the registration macros. One line for each class:
//
//   PERGOLA_REGISTER_MODEL(Pythia, "pythia");          constructor: Pythia(const Config& config)
//   PERGOLA_REGISTER_LOSS(FocalLoss, "focal_loss");    constructor: FocalLoss(const Config& params)
//
// METRIC, PROCESSOR, SCHEDULER and CALLBACK take a constructor (const Config& params), DATASET one
// (const DatasetOptions& options), OPTIMIZER one (std::vector<ParameterGroup> groups,
// const Config& params). At namespace scope of one source file.
#pragma once

#include "pergola/abi.h"
#include "pergola/base_model.h"
#include "pergola/callback.h"
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
std::unique_ptr<Dataset> make_dataset(const DatasetOptions& options) {
  return std::make_unique<Class>(options);
}

template <class Class>
std::unique_ptr<Optimizer> make_optimizer(std::vector<ParameterGroup> groups,
                                          const Config& params) {
  return std::make_unique<Class>(std::move(groups), params);
}

// A node for `factory`, which must have the type that its kind promises.
template <class Factory>
Announcement node(Kind kind, const char* key, Factory factory) noexcept {
  return Announcement{kind, key, reinterpret_cast<void (*)()>(factory), nullptr};
}

}  // namespace pergola::detail

#define PERGOLA_JOIN_(a, b) a##b
#define PERGOLA_JOIN(a, b) PERGOLA_JOIN_(a, b)
#define PERGOLA_ANNOUNCE_(kind, key, Factory, factory)                                    \
  static ::pergola::Announcement PERGOLA_JOIN(pergola_node_, __LINE__) =                  \
      ::pergola::detail::node(::pergola::Kind::kind, key, static_cast<Factory>(factory)); \
  static const ::pergola::detail::Announcer PERGOLA_JOIN(                                 \
      pergola_announcer_, __LINE__)(PERGOLA_JOIN(pergola_node_, __LINE__))

#define PERGOLA_REGISTER_MODEL(Class, key)  \
  PERGOLA_ANNOUNCE_(                        \
      kModel, key, ::pergola::ModelFactory, \
      (&::pergola::detail::make_from_config<Class, std::shared_ptr<::pergola::BaseModel>>))
#define PERGOLA_REGISTER_LOSS(Class, key) \
  PERGOLA_ANNOUNCE_(                      \
      kLoss, key, ::pergola::LossFactory, \
      (&::pergola::detail::make_from_config<Class, std::shared_ptr<::pergola::Loss>>))
#define PERGOLA_REGISTER_METRIC(Class, key)   \
  PERGOLA_ANNOUNCE_(                          \
      kMetric, key, ::pergola::MetricFactory, \
      (&::pergola::detail::make_from_config<Class, std::unique_ptr<::pergola::Metric>>))
#define PERGOLA_REGISTER_DATASET(Class, key)                  \
  PERGOLA_ANNOUNCE_(kDataset, key, ::pergola::DatasetFactory, \
                    (&::pergola::detail::make_dataset<Class>))
#define PERGOLA_REGISTER_PROCESSOR(Class, key)      \
  PERGOLA_ANNOUNCE_(                                \
      kProcessor, key, ::pergola::ProcessorFactory, \
      (&::pergola::detail::make_from_config<Class, std::unique_ptr<::pergola::Processor>>))
#define PERGOLA_REGISTER_OPTIMIZER(Class, key)                    \
  PERGOLA_ANNOUNCE_(kOptimizer, key, ::pergola::OptimizerFactory, \
                    (&::pergola::detail::make_optimizer<Class>))
#define PERGOLA_REGISTER_SCHEDULER(Class, key)      \
  PERGOLA_ANNOUNCE_(                                \
      kScheduler, key, ::pergola::SchedulerFactory, \
      (&::pergola::detail::make_from_config<Class, std::unique_ptr<::pergola::Scheduler>>))
#define PERGOLA_REGISTER_CALLBACK(Class, key)     \
  PERGOLA_ANNOUNCE_(                              \
      kCallback, key, ::pergola::CallbackFactory, \
      (&::pergola::detail::make_from_config<Class, std::unique_ptr<::pergola::Callback>>))
