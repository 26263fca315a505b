// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/builtins.h"

#include "host/model/losses.h"
#include "host/model/metrics.h"
#include "host/model/optimizers.h"
#include "host/model/schedulers.h"
#include "pergola/plugin.h"

namespace pergola::host {
namespace {

template <class Class>
Announcement loss(const char* key) {
  return detail::node(Kind::kLoss, key,
                      LossFactory(&detail::make_from_config<Class, std::shared_ptr<Loss>>));
}

template <class Class>
Announcement metric(const char* key) {
  return detail::node(Kind::kMetric, key,
                      MetricFactory(&detail::make_from_config<Class, std::unique_ptr<Metric>>));
}

template <class Class>
Announcement optimizer(const char* key) {
  return detail::node(Kind::kOptimizer, key, OptimizerFactory(&detail::make_optimizer<Class>));
}

template <class Class>
Announcement scheduler(const char* key) {
  return detail::node(
      Kind::kScheduler, key,
      SchedulerFactory(&detail::make_from_config<Class, std::unique_ptr<Scheduler>>));
}

}  // namespace

std::vector<Announcement> builtin_model_parts() {
  return {loss<CrossEntropy>("cross_entropy"),
          loss<LogitBce>("logit_bce"),
          metric<Accuracy>("accuracy"),
          metric<VqaAccuracy>("vqa_accuracy"),
          optimizer<Sgd>("sgd"),
          optimizer<Adam>("adam"),
          optimizer<AdamW>("adamw"),
          optimizer<Adamax>("adamax"),
          scheduler<StepsScheduler>("pythia"),
          scheduler<MultiStepScheduler>("multi_step"),
          scheduler<WarmupLinearScheduler>("warmup_linear"),
          scheduler<WarmupCosineScheduler>("warmup_cosine")};
}

}  // namespace pergola::host
