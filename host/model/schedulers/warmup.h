// SPDX-License-Identifier: BSD-3-Clause
// Schedules that begin with a linear warm-up from 0, as transformers has them, and MMF its two.
// Each is a pure function of the update number, so that it has no state to save. num_training_steps
// is the run's length where the config does not say it (builder.h); after it, the rate stays.
#pragma once

#include "pergola/component.h"
#include "pergola/scheduler.h"

#include <cstdint>

namespace pergola::host {

// Over num_warmup_steps updates the factor is update / num_warmup_steps, and then decay().
class WarmupScheduler : public Scheduler {
 public:
  [[nodiscard]] double factor(std::int64_t update) final;

 protected:
  explicit WarmupScheduler(const Config& params);
  // The factor after warm-up. `progress`: the part of the updates after it that is done, 0 to 1.
  [[nodiscard]] virtual double decay(double progress) const = 0;

 private:
  std::int64_t num_warmup_steps_;
  std::int64_t num_training_steps_;
};

// constant: 1.
class ConstantScheduler final : public WarmupScheduler {
 public:
  static ComponentSpec spec();
  explicit ConstantScheduler(const Config& params) : WarmupScheduler(params) {}

 protected:
  [[nodiscard]] double decay(double progress) const override;
};

// warmup_linear: 1 - progress.
class WarmupLinearScheduler final : public WarmupScheduler {
 public:
  static ComponentSpec spec();
  explicit WarmupLinearScheduler(const Config& params) : WarmupScheduler(params) {}

 protected:
  [[nodiscard]] double decay(double progress) const override;
};

// warmup_cosine: (1 + cos(2 pi num_cycles progress)) / 2.
class WarmupCosineScheduler final : public WarmupScheduler {
 public:
  static ComponentSpec spec();
  explicit WarmupCosineScheduler(const Config& params);

 protected:
  [[nodiscard]] double decay(double progress) const override;

 private:
  double num_cycles_;
};

// cosine_with_restarts: num_cycles times from 1 to 0 along half a cosine; 0 at the end.
class CosineWithRestartsScheduler final : public WarmupScheduler {
 public:
  static ComponentSpec spec();
  explicit CosineWithRestartsScheduler(const Config& params);

 protected:
  [[nodiscard]] double decay(double progress) const override;

 private:
  std::int64_t num_cycles_;
};

// polynomial: (1 - end_factor) (1 - progress)^power + end_factor.
class PolynomialScheduler final : public WarmupScheduler {
 public:
  static ComponentSpec spec();
  explicit PolynomialScheduler(const Config& params);

 protected:
  [[nodiscard]] double decay(double progress) const override;

 private:
  double power_;
  double end_factor_;
};

}  // namespace pergola::host
