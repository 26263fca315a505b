// SPDX-License-Identifier: BSD-3-Clause
// The doubles that are no finite numbers, for tests of what meets them.
#pragma once

#include <limits>

namespace pergola::test {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

}  // namespace pergola::test
