// SPDX-License-Identifier: BSD-3-Clause
// Learning-rate schedules as a factor of the update number (MMF's mmf/utils/lr_scheduler names).
#pragma once

#include "pergola/config.h"

#include <cstdint>

namespace pergola {

class PERGOLA_API Scheduler {
 public:
  Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  virtual ~Scheduler();

  // What the base learning rate is multiplied with for update number `update` (0 = the first).
  [[nodiscard]] virtual double factor(std::int64_t update) = 0;

  // The monitored number of a validation, after each of them: for schedules that wait for it to
  // stand still. The default does nothing.  [train-thread]
  virtual void observe(double criterion);

  // State beyond the update number; a schedule that is a pure function of it has none.
  [[nodiscard]] virtual Value state_dict() const;
  virtual void load_state_dict(const Value& state);
};

}  // namespace pergola
