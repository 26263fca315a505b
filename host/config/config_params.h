// SPDX-License-Identifier: BSD-3-Clause
// What is known of the keys of model_config.<model> or dataset_config.<dataset> before anything is
// loaded: types, bounds, choices and meanings, in the words of a component's ParamSpec. Plain data;
// thread-safe while it is not changed.
#pragma once

#include "pergola/component.h"
#include "pergola/config.h"
#include "pergola/value.h"

#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

// One key, and those within it.
struct ConfigParam {
  // `fallback` is the default, and `type` what a config must give, whatever the default is: kNull
  // is anything, kFloat takes integers, kArray is checked item by item.
  ParamSpec spec;
  // Of a table, or of each table of an array; empty: nothing is known of what is in it. Where one
  // of them is `type`, a name may stand in the table's place, as Config::typed reads it.
  std::vector<ConfigParam> members = {};
  // Whether 0 stands for the data set's fact of that name, and so is in bounds.
  enum class Zero { kIsANumber, kIsAFact } zero = Zero::kIsANumber;
};
using ConfigParams = std::vector<ConfigParam>;

// A table of a config as it is before the user says anything.
struct KnownTable {
  // Of one of which the defaults alone are known.
  KnownTable(Value table) : defaults(std::move(table)) {}  // NOLINT(google-explicit-constructor)
  KnownTable(Value table, ConfigParams known, std::string where)
      : defaults(std::move(table)), params(std::move(known)), shown_by(std::move(where)) {}

  Value defaults;
  ConfigParams params = {};
  std::string shown_by = {};  // the command that prints all this, to end a message with
};

enum class Missing { kIsRefused, kIsAllowed };

// Checks `table` against all that is known of it. Throws Error{kConfig} for a value of another
// type, out of its bounds, or none of its choices; and, unless `missing` is allowed, for a key that
// is not among `params`, and a required one that is not there. The message has the value's place
// and the key's meaning, and ends with `shown_by` unless that is "".
// REQUIRES: where `missing` is allowed, `params` and all members are sorted by name.
void check_params(const Config& table, const ConfigParams& params, const std::string& shown_by,
                  Missing missing = Missing::kIsRefused);

// What a component of the same params would say of itself: the keys at the top.
[[nodiscard]] std::vector<ParamSpec> top_specs(const ConfigParams& params);

}  // namespace pergola::host
