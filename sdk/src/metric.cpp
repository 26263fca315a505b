// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/metric.h"

namespace pergola {

Metric::Metric() = default;
Metric::~Metric() = default;

}  // namespace pergola
