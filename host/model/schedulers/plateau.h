// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "pergola/component.h"
#include "pergola/scheduler.h"

#include <cstdint>
#include <optional>

namespace pergola::host {

// reduce_on_plateau: torch's ReduceLROnPlateau, counted in validations. The factor is multiplied by
// `factor`, though not below min_factor, when training.early_stop.criteria has not improved on its
// best by more than `threshold` (a part of the best, or a difference) in more than `patience`
// validations; after that, `cooldown` validations are not counted. A criterion that is NaN or
// infinite is no improvement. The config's `mode` is that of training.early_stop.minimize where it
// is not given. torch's eps, the least change of the rate, is not there: a factor has no such size.
class PlateauScheduler final : public Scheduler {
 public:
  static ComponentSpec spec();
  explicit PlateauScheduler(const Config& params);
  [[nodiscard]] double factor(std::int64_t update) override;
  void observe(double criterion) override;
  [[nodiscard]] Value state_dict() const override;
  // A state that is empty, that of other schedules, leaves it as it is, with a warning.
  void load_state_dict(const Value& state) override;

 private:
  [[nodiscard]] bool improves(double criterion) const;

  double reduction_;
  double min_factor_;
  std::int64_t patience_;
  std::int64_t cooldown_;
  double threshold_;
  bool relative_;
  bool minimize_;

  double factor_ = 1;
  std::optional<double> best_;
  std::int64_t bad_validations_ = 0;  // in a row
  std::int64_t cooldown_left_ = 0;
};

}  // namespace pergola::host
