// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/batch_limit.h"

#include <algorithm>

namespace pergola::host {

BatchLimit BatchLimit::parse(const Config& config, std::string_view key) {
  const Value& value = *config.value().find(key);
  BatchLimit limit;
  if (value.type() == Value::Type::kInteger) {
    limit.batches = value.as_integer();
    if (*limit.batches >= 0) return limit;
  } else if (value.type() == Value::Type::kFloat) {
    const double fraction = value.as_float();
    if (fraction < 1.0) limit.fraction = fraction;
    if (fraction >= 0.0 && fraction <= 1.0) return limit;
  }
  throw config.error(key,
                     "is out of range; expected a whole number of batches, such as 10, or a "
                     "fraction of them from 0.0 to 1.0");
}

std::int64_t BatchLimit::of(std::int64_t num_batches) const {
  if (batches) return std::min(*batches, num_batches);
  if (!fraction) return num_batches;
  if (*fraction == 0.0) return 0;
  // 0.29 of 100 batches are 28.999999999999996 of them.
  const auto part = static_cast<std::int64_t>(*fraction * static_cast<double>(num_batches) + 1e-6);
  return std::clamp<std::int64_t>(part, std::min<std::int64_t>(1, num_batches), num_batches);
}

}  // namespace pergola::host
