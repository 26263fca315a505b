// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/component.h"

#include "pergola/suggest.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace pergola {
namespace {

bool is_number(const Value& value) {
  return value.type() == Value::Type::kInteger || value.type() == Value::Type::kFloat;
}

// 134217728, not 1.34218e+08.
std::string bound_text(double bound) {
  constexpr double kMostDigits = 1e15;
  const bool is_whole = bound == std::floor(bound) && std::abs(bound) < kMostDigits;
  return is_whole ? concat(static_cast<std::int64_t>(bound)) : concat(bound);
}

std::string bounds_text(const ParamSpec& spec) {
  if (std::isinf(spec.high)) return concat("at least ", bound_text(spec.low));
  if (std::isinf(spec.low)) return concat("at most ", bound_text(spec.high));
  return concat(bound_text(spec.low), " to ", bound_text(spec.high));
}

// Throws the error of the typed getter when the value is of another type.
void check_type(const Config& config, const ParamSpec& spec) {
  switch (spec.fallback.is_null() ? spec.type : spec.fallback.type()) {
    case Value::Type::kBoolean:
      static_cast<void>(config.get<bool>(spec.name));
      return;
    case Value::Type::kInteger:
      static_cast<void>(config.get<std::int64_t>(spec.name));
      return;
    case Value::Type::kFloat:
      static_cast<void>(config.get<double>(spec.name));
      return;
    case Value::Type::kString:
      static_cast<void>(config.get<std::string>(spec.name));
      return;
    case Value::Type::kArray:
      if (!config.value().find(spec.name)->is_array()) {
        throw config.error(spec.name, concat("is ", config.value().find(spec.name)->type_name(),
                                             "; expected an array"));
      }
      return;
    case Value::Type::kTable:
      static_cast<void>(config.table(spec.name));
      return;
    case Value::Type::kNull:
      return;
  }
}

void check_number(const Config& config, const std::string& key, const ParamSpec& spec) {
  const double number = config.value().find(key)->as_float();
  if (!std::isfinite(number)) throw config.error(key, "is not a finite number; expected one");
  if (number >= spec.low && number <= spec.high) return;
  throw config.error(key, "is out of range; expected " + bounds_text(spec));
}

void check_range(const Config& config, const ParamSpec& spec) {
  const Value& value = *config.value().find(spec.name);
  if (is_number(value)) check_number(config, spec.name, spec);
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.as_array().size(); ++i) {
      if (!is_number(value.as_array()[i])) continue;  // the getter of the array says what is wrong
      check_number(config, concat(spec.name, "[", i, "]"), spec);
    }
  }
  if (!spec.choices.empty()) {
    static_cast<void>(config.get_choice(spec.name, spec.choices.front(), spec.choices));
  }
}

}  // namespace

Config ComponentSpec::complete(const Config& given) const {
  std::vector<std::string> names;
  for (const ParamSpec& spec : params) names.push_back(spec.name);
  given.allow_only(names);
  Value completed = given.value();
  for (const ParamSpec& spec : params) {
    if (given.has(spec.name)) {
      check_type(given, spec);
      check_range(given, spec);
    } else if (spec.need == ParamSpec::Need::kRequired) {
      static_cast<void>(given.get<double>(spec.name));
    } else {
      completed[spec.name] = spec.fallback;
      completed[spec.name].set_origin("default");
    }
  }
  return Config(std::move(completed), given.path());
}

}  // namespace pergola
