// SPDX-License-Identifier: BSD-3-Clause
// What a component (a loss, a metric, an optimizer, ...) says of itself: a line of meaning, and its
// params with their defaults and bounds. The registry checks and completes the params of a config
// by it before the constructor sees them, and `pergola list` prints it, so that what is documented
// is what is accepted. Plain data; thread-safe while it is not changed.
#pragma once

#include "pergola/config.h"

#include <limits>
#include <string>
#include <vector>

namespace pergola {

// One key of a component's params.
struct ParamSpec {
  std::string name;
  // The default, whose type is what the config must give (a float takes integers). Null: there is
  // no default, and `type` says what is expected.
  Value fallback;
  std::string meaning;  // one line
  // What a number, or each number of an array, may be: low <= number <= high.
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices = {};  // what a string may be; empty: any
  Value::Type type = Value::Type::kNull;  // where `fallback` is null; kNull: any
  enum class Need { kOptional, kRequired } need = Need::kOptional;
};

struct ComponentSpec {
  std::string summary;  // one line
  std::vector<ParamSpec> params = {};

  // `given` with every key of `params` in it: defaults where it has none, null where there is no
  // default either. Throws Error{kConfig} for a key that is not in `params`, a missing one that is
  // required, a value of another type, out of its bounds, or none of its choices.
  [[nodiscard]] PERGOLA_API Config complete(const Config& given) const;
};

}  // namespace pergola
