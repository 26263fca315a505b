// SPDX-License-Identifier: BSD-3-Clause
// Metrics: numbers over a whole split, computed from a streamed state, so that they are exact at
// any split size and on any number of ranks (names are MMF's, mmf/modules/metrics.py).
// Not thread-safe.
#pragma once

#include "pergola/model_output.h"
#include "pergola/sample_list.h"

#include <map>
#include <string>

namespace pergola {

class PERGOLA_API Metric {
 public:
  Metric();
  Metric(const Metric&) = delete;
  Metric& operator=(const Metric&) = delete;
  virtual ~Metric();

  // Takes in one batch. No gradients are recorded. Throws Error{kData} when shapes do not fit.
  virtual void update(const SampleList& batch, const ModelOutput& output) = 0;
  // Takes in what another metric of the same class and config has seen.
  virtual void merge(const Metric& other) = 0;
  // The value under the key "", or several under their own names; NaN when nothing was seen.
  [[nodiscard]] virtual std::map<std::string, double> compute() const = 0;
  // Forgets all that was seen.
  virtual void reset() = 0;
};

}  // namespace pergola
